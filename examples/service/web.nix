# A small web service as a Nix closure, built from nothing but a shell: what `./x demo` publishes.
#
#   nix-build web.nix --argstr version 2
#
# With nixpkgs at hand it would be a package like any other; what counts is that it has a program in `bin`.
{
  version ? "1",
  # A release that answers every request with an error, to see it taken back.
  broken ? false,
}:
derivation {
  name = "web-${version}";
  system = builtins.currentSystem;
  builder = "/bin/sh";
  PATH = "/usr/local/bin:/usr/bin:/bin";
  args = [
    "-c"
    ''
      mkdir -p "$out/bin" "$out/share"
      sed 's/@version@/${version}/' ${./page.html} > "$out/share/page.html"
      {
        echo "#!/bin/sh"
        echo "echo version ${version} listens on port \"\$PORT\""
        echo "exec python3 ${./serve.py} \"\$PORT\" $out/share/page.html ${if broken then "500" else "200"}"
      } > "$out/bin/web"
      chmod +x "$out/bin/web"
    ''
  ];
}
