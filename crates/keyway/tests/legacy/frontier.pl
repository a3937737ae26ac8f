# The session of the user's guide with Frontier::RPC (Debian's libfrontier-rpc-perl): frontier.pl URL
use strict;
use warnings;
use Digest::SHA qw(sha1);
use Frontier::Client;
use MIME::Base64 qw(decode_base64 encode_base64);

my $gateway = Frontier::Client->new(url => shift);
my $ten = $gateway->int(10);
my $hour = $gateway->int(3600);

# With line breaks, as this encoder makes them.
sub base64 { $gateway->base64(encode_base64(shift)) }

sub text { decode_base64(shift->value) }

my $key = base64(sha1('colors of frontier'));

sub values_now { join ' ', map { text($_) } @{ $gateway->call('get', $key, $ten, base64(''), 'x')->[0] } }

print 'put red ', $gateway->call('put', $key, base64('red'), $hour, 'x'), "\n";
print 'put_removable blue ',
    $gateway->call('put_removable', $key, base64('blue'), 'SHA', base64(sha1('sesame')), $hour, 'x'), "\n";
print 'get ', values_now(), "\n";
print 'rm blue ', $gateway->call('rm', $key, base64(sha1('blue')), 'SHA', base64('sesame'), $hour, 'x'), "\n";
print 'get ', values_now(), "\n";
my ($details, $place) = @{ $gateway->call('get_details', $key, $ten, base64(''), 'x') };
for my $detail (@$details) {
    my ($value, $remaining, $hash_type, $secret_hash) = @$detail;
    my $fresh = $remaining > 3500 && $remaining <= 3600 ? 'fresh' : $remaining;
    print 'details ', text($value), " $fresh $hash_type ", unpack('H*', text($secret_hash)), "\n";
}
print 'place ', length text($place), "\n";
eval { $gateway->call('colours') };
my ($fault) = $@ =~ /(java\.lang\.Exception: [^\n]*)/;
print "fault 0 $fault\n";
