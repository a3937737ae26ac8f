# The session of the user's guide in requests written by hand and sent over a plain socket, in the manner of the Perl clients
# of 2005: HTTP/1.0, a lower-case length, parameters directly under methodCall before an empty params element, an encoding that
# has no such name, blanks and line breaks everywhere, an empty element for the first placemark. by_hand.pl URL
use strict;
use warnings;
use Digest::SHA qw(sha1);
use IO::Socket::INET;
use MIME::Base64 qw(decode_base64 encode_base64);

my ($address) = shift =~ m{^http://([^/]+)};

sub base64 { my $text = encode_base64(shift); $text eq '' ? '<base64/>' : "<base64>\n$text</base64>" }

sub int_of { '<int> ' . shift() . ' </int>' }

# The reply's XML, and nothing else may be there.
sub ask {
    my ($method, @params) = @_;
    my $body = "<?xml version=\"1.0\" encoding=\"utf8\"?>\n<methodCall>\n  <methodName> $method </methodName>\n";
    $body .= "  <param>\n    <value>\n      $_\n    </value>\n  </param>\n" for @params;
    # Untyped, so that blanks would be part of it.
    $body .= "  <param>\n    <value>by_hand</value>\n  </param>\n  <params>\n  </params>\n</methodCall>\n";
    my $socket = IO::Socket::INET->new(PeerAddr => $address, Proto => 'tcp', Timeout => 20) or die "connect: $!\n";
    $socket->autoflush(1);
    # Header and body each in two writes.
    for my $piece (
        "POST / HTTP/1.0\r\nUser-Agent: by_hand\r\nHost: $address\r\n",
        'Content-Type: text/xml' . "\r\nContent-length: " . length($body) . "\r\n\r\n",
        substr($body, 0, 50), substr($body, 50)
    ) {
        print {$socket} $piece;
    }
    my $answer = do { local $/; <$socket> };
    my ($head, $xml) = split /\r\n\r\n/, $answer, 2;
    my ($status, @headers) = split /\r\n/, $head;
    die "status $status\n" unless $status eq 'HTTP/1.0 200 OK';
    my %header = map { split /: /, $_, 2 } @headers;
    die "length $header{'Content-Length'}\n" unless $header{'Content-Length'} == length $xml;
    die "type $header{'Content-Type'}\n" unless $header{'Content-Type'} eq 'text/xml';
    die "blanks between elements: $xml\n" if $xml =~ />\s+</;
    die "no prolog: $xml\n" unless $xml =~ /^<\?xml /;
    return $xml;
}

sub status_of { ask(@_) =~ m{<value><int>(\d)</int></value>} ? $1 : 'none' }

my $key = base64(sha1('colors of by_hand'));
my $get = sub { ask(shift, $key, int_of(10), base64('')) =~ m{<array><data>(.*)</data></array></value>(<value>.*)</data>}s };

sub texts { map { decode_base64($_) } shift =~ m{<base64>(.*?)</base64>}g }

print 'put red ', status_of('put', $key, base64('red'), int_of(3600)), "\n";
print 'put_removable blue ',
    status_of('put_removable', $key, base64('blue'), '<string>SHA</string>', base64(sha1('sesame')), int_of(3600)), "\n";
print join(' ', 'get', texts(($get->('get'))[0])), "\n";
print 'rm blue ', status_of('rm', $key, base64(sha1('blue')), '<string>SHA</string>', base64('sesame'), int_of(3600)), "\n";
print join(' ', 'get', texts(($get->('get'))[0])), "\n";
my ($details, $place) = $get->('get_details');
my ($remaining) = $details =~ m{<int>(\d+)</int>};
my ($hash_type) = $details =~ m{<value>(\w+)</value>};
my ($value, $secret_hash) = texts($details);
my $fresh = $remaining > 3500 && $remaining <= 3600 ? 'fresh' : $remaining;
print "details $value $fresh $hash_type ", unpack('H*', $secret_hash), "\n";
print 'place ', length((texts($place))[0]), "\n";
my ($string, $code) = ask('colours') =~ m{<name>faultString</name><value>(.*?)</value>.*<name>faultCode</name><value><int>(\d+)<};
print "fault $code $string\n";
