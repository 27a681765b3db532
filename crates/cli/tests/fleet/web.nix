# The service of these tests: a web server of the hosts' own Perl. `way` is how it misbehaves.
{ version, status ? "200", way ? "" }:
derivation {
  name = "web-${version}";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  PATH = "/usr/bin:/bin";
  args = [ "-c" ''mkdir -p $out/bin; sed -e 's/@version@/${version}/; s/@status@/${status}/; s/@way@/${way}/' ${./web.pl} > $out/bin/web; chmod +x $out/bin/web'' ];
}
