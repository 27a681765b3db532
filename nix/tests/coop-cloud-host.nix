# A host with Co-op Cloud apps, evaluated without nixpkgs: configurations in, what NixOS would be told out.
#
#   host { modules = [ { services.coop-cloud.ghost.enable = true; … } ]; } → config
#   rendered config → { units."cc-app-ghost.service" = "[Unit]\n…"; files."/…/cc-app-ghost.json" = "{…}"; activation = "…"; }
#
# `rendered` writes units as NixOS does, for tests that run them under a systemd that is not NixOS's:
#
#   nix-instantiate --eval --strict --json nix/tests/coop-cloud-host.nix -A render --argstr configuration ./host.nix \
#     --argstr freehold /usr/local --argstr docker /usr --argstr files /run/coop-cloud
{
  lib ? (import ../. { }).lib.lib,
  freehold ? "/freehold",
  docker ? "/docker",
  # Programs of nixpkgs that a unit calls, by their prefix.
  programs ? "/pkgs",
  # The folder that stands in for the store.
  files ? "/store",
  sops ? true,
  configuration ? null,
}:
let
  drv = name: outPath: {
    type = "derivation";
    inherit name outPath;
  };
  # What is written to the store keeps its text, so that tests can look at it.
  written =
    name: text:
    drv name "${files}/${name}"
    // {
      inherit text;
    };
  program = name: drv name (if programs == "/usr" then programs else "${programs}/${name}");
  pkgs = lib.genAttrs [ "bash" "coreutils" "drone-runner-exec" "git" "openssh" ] program // {
    freehold = drv "freehold" freehold;
    writeText = written;
    writeShellApplication = { name, text, ... }: written name text;
  };

  host =
    {
      modules,
      withSops ? sops,
    }:
    (lib.evalModules {
      modules = [
        (import ./nixos-options.nix {
          inherit lib;
          sops = withSops;
        })
        ../nixos/coop-cloud.nix
        {
          _module.args.pkgs = pkgs;
          virtualisation.docker.package = drv "docker" docker;
        }
      ]
      ++ modules;
    }).config;

  # systemd's form of NixOS's settings: a list is the key again and again.
  line = key: value: "${key}=${if builtins.isBool value then lib.boolToString value else toString value}\n";
  lines = set: lib.concatStrings (lib.mapAttrsToList (k: v: lib.concatMapStrings (line k) (lib.toList v)) set);
  section = name: set: if set == { } then "" else "[${name}]\n${lines set}\n";
  nonEmpty = lib.filterAttrs (_: v: v != "" && v != [ ]);
  unitSection =
    u:
    section "Unit" (nonEmpty {
      Description = u.description;
      After = u.after;
      Requires = u.requires;
      Wants = u.wants;
    } // u.unitConfig);
  install = u: section "Install" (nonEmpty { WantedBy = u.wantedBy; });
  environment =
    u:
    lib.mapAttrsToList (k: v: "\"${k}=${v}\"") (
      u.environment // { PATH = lib.concatMapStringsSep ":" (p: "${p}/bin") u.path + ":/usr/bin:/bin"; }
    );

  # NixOS puts a script into the store and starts it with `set -e`.
  scriptOf = n: "${files}/unit-script-${n}-start";
  started = n: u: lib.optionalAttrs (u.script != "") { ExecStart = "/bin/sh ${scriptOf n}"; };

  rendered = config: {
    units =
      lib.mapAttrs' (
        n: u:
        lib.nameValuePair "${n}.service" (
          unitSection u + section "Service" ({ Environment = environment u; } // u.serviceConfig // started n u) + install u
        )
      ) config.systemd.services
      // lib.mapAttrs' (
        n: u: lib.nameValuePair "${n}.timer" (unitSection u + section "Timer" u.timerConfig + install u)
      ) config.systemd.timers
      // lib.mapAttrs' (
        n: u: lib.nameValuePair "${n}.path" (unitSection u + section "Path" u.pathConfig + install u)
      ) config.systemd.paths;
    files =
      lib.mapAttrs' (_: e: lib.nameValuePair "${e.source}" e.source.text) config.environment.etc
      // lib.mapAttrs' (n: u: lib.nameValuePair (scriptOf n) "set -e\n${u.script}") (
        lib.filterAttrs (_: u: u.script != "") config.systemd.services
      );
    activation = config.system.activationScripts.coop-cloud.text;
  };
in
{
  inherit host rendered;
  render = rendered (host { modules = [ (import configuration) ]; });
}
