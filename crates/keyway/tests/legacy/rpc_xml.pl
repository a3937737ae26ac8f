# The session of the user's guide with RPC::XML (Debian's librpc-xml-perl): rpc_xml.pl URL
use strict;
use warnings;
use Digest::SHA qw(sha1);
use RPC::XML;
use RPC::XML::Client;

my $gateway = RPC::XML::Client->new(shift);
my ($ten, $hour) = map { RPC::XML::int->new($_) } 10, 3600;

sub base64 { RPC::XML::base64->new(shift) }

sub ask {
    my $answer = $gateway->send_request(@_);
    die "no answer: $answer\n" unless ref $answer;
    return $answer->value;
}

my $key = base64(sha1("colors of rpc_xml"));

sub values_now { join ' ', @{ ask('get', $key, $ten, base64(''), 'x')->[0] } }

print 'put red ', ask('put', $key, base64('red'), $hour, 'x'), "\n";
print 'put_removable blue ',
    ask('put_removable', $key, base64('blue'), 'SHA', base64(sha1('sesame')), $hour, 'x'), "\n";
print 'get ', values_now(), "\n";
print 'rm blue ', ask('rm', $key, base64(sha1('blue')), 'SHA', base64('sesame'), $hour, 'x'), "\n";
print 'get ', values_now(), "\n";
my ($details, $place) = @{ ask('get_details', $key, $ten, base64(''), 'x') };
for my $detail (@$details) {
    my ($value, $remaining, $hash_type, $secret_hash) = @$detail;
    my $fresh = $remaining > 3500 && $remaining <= 3600 ? 'fresh' : $remaining;
    print "details $value $fresh $hash_type ", unpack('H*', $secret_hash), "\n";
}
print 'place ', length $place, "\n";
my $fault = ask('colours');
print "fault $fault->{faultCode} $fault->{faultString}\n";
