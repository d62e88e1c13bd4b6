# Signs or verifies the message on standard input with Mail::DKIM.
#   maildkim.pl verify NAMESERVER
#   maildkim.pl sign DOMAIN SELECTOR KEYFILE CANONICALIZATION
use strict;
use warnings;
use Mail::DKIM::DNS;
use Mail::DKIM::Signer;
use Mail::DKIM::Verifier;
use Net::DNS::Resolver;

my $do = shift;
my $dkim;
if ($do eq 'verify') {
    Mail::DKIM::DNS::resolver(Net::DNS::Resolver->new(nameservers => [shift], recurse => 0));
    $dkim = Mail::DKIM::Verifier->new();
}
else {
    my ($domain, $selector, $key, $method) = @ARGV;
    $dkim = Mail::DKIM::Signer->new(
        Algorithm => 'rsa-sha256',
        Method    => $method,
        Domain    => $domain,
        Selector  => $selector,
        KeyFile   => $key,
    );
}
binmode STDIN;
binmode STDOUT;
while (read STDIN, my $piece, 1 << 16) {
    $dkim->PRINT($piece);
}
$dkim->CLOSE;
if ($do eq 'verify') {
    $dkim->result eq 'pass' or die $dkim->result_detail . "\n";
}
else {
    print $dkim->signature->as_string, "\r\n";
}
