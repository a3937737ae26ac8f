<?php
// The session of the user's guide with PHP's xmlrpc (Debian's php-xmlrpc): session.php URL
function base64(string $bytes): object
{
    xmlrpc_set_type($bytes, 'base64');
    return $bytes;
}

function sha(string $text): object
{
    return base64(sha1($text, true));
}

function ask(string $method, ...$params)
{
    global $argv;
    $http = ['method' => 'POST', 'header' => 'Content-Type: text/xml', 'content' => xmlrpc_encode_request($method, $params)];
    $answer = file_get_contents($argv[1], false, stream_context_create(['http' => $http]));
    return xmlrpc_decode($answer);
}

function bytes($value): string
{
    return is_object($value) ? $value->scalar : $value;
}

function values_now(object $key): string
{
    return implode(' ', array_map('bytes', ask('get', $key, 10, base64(''), 'x')[0]));
}

$key = sha('colors of php');
echo 'put red ', ask('put', $key, base64('red'), 3600, 'x'), "\n";
echo 'put_removable blue ', ask('put_removable', $key, base64('blue'), 'SHA', sha('sesame'), 3600, 'x'), "\n";
echo 'get ', values_now($key), "\n";
echo 'rm blue ', ask('rm', $key, sha('blue'), 'SHA', base64('sesame'), 3600, 'x'), "\n";
echo 'get ', values_now($key), "\n";
[$details, $place] = ask('get_details', $key, 10, base64(''), 'x');
foreach ($details as [$value, $remaining, $hash_type, $secret_hash]) {
    $fresh = $remaining > 3500 && $remaining <= 3600 ? 'fresh' : $remaining;
    echo 'details ', bytes($value), " $fresh $hash_type ", bin2hex(bytes($secret_hash)), "\n";
}
echo 'place ', strlen(bytes($place)), "\n";
$fault = ask('colours');
echo "fault {$fault['faultCode']} {$fault['faultString']}\n";
