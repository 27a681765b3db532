#!/usr/bin/perl
# Answers every request with its version; `web.nix` fills in which, with which status, and how it misbehaves.
use strict;
use warnings;
use IO::Socket::INET;
$| = 1;
my ($version, $status, $way) = ("@version@", "@status@", "@way@");
print "version $version begins\n";
if ($way eq "ends") { print "cannot go on\n"; exit 7; }
if ($way eq "hangs") { sleep 1000 while 1; }
if ($way eq "forks") { exit 0 if fork; }
if ($way eq "deaf") { $SIG{TERM} = "IGNORE"; }
my $port = $ENV{PORT} // 8000;
my $server = IO::Socket::INET->new(LocalAddr => "127.0.0.1", LocalPort => $port, Listen => 64, ReuseAddr => 1)
    or die "cannot listen on $port: $!\n";
if ($way eq "leaks" && !fork) { $SIG{TERM} = "IGNORE"; sleep 1000 while 1; }
while (1) {
    my $client = $server->accept or next;
    while (my $line = <$client>) { last if $line =~ /^\r?\n$/; }
    my $body = "version $version\n";
    print $client "HTTP/1.1 $status Said\r\nContent-Length: " . length($body) . "\r\nConnection: close\r\n\r\n$body";
    close $client;
}
