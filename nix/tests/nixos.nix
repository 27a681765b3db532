# The NixOS modules, evaluated with stand-ins for the options of NixOS that they set.
{ lib, ... }:
let
  inherit (lib) mkOption types;
  free = mkOption {
    type = types.attrsOf types.anything;
    default = { };
  };
  any = default: mkOption {
    type = types.anything;
    inherit default;
  };
  # The options of NixOS that are set or read, with their real names.
  stubs = {
    options = {
      assertions = mkOption {
        type = types.listOf types.anything;
        default = [ ];
      };
      environment.systemPackages = mkOption {
        type = types.listOf types.anything;
        default = [ ];
      };
      networking.hostName = any "web1";
      nix.package = any "/nix-package";
      nix.settings = free;
      services.caddy = free;
      systemd.services = mkOption {
        type = types.attrsOf (types.submodule {
          options = {
            description = any "";
            after = mkOption { type = types.listOf types.str; default = [ ]; };
            wants = mkOption { type = types.listOf types.str; default = [ ]; };
            wantedBy = mkOption { type = types.listOf types.str; default = [ ]; };
            path = mkOption { type = types.listOf types.anything; default = [ ]; };
            serviceConfig = free;
          };
        });
        default = { };
      };
      systemd.timers = free;
    };
  };
  agent =
    settings:
    (lib.evalModules {
      modules = [
        stubs
        ../nixos/agent.nix
        {
          _module.args.pkgs.freehold = {
            type = "derivation";
            name = "freehold";
            outPath = "/freehold";
          };
          services.freehold.agent = {
            enable = true;
            from = "s3://shop";
            trustedKeys = [ "k:1" ];
          }
          // settings;
        }
      ];
    }).config;
  unit = settings: (agent settings).systemd.services.freehold-agent;
  broken = settings: map (a: a.message) (builtins.filter (a: !a.assertion) (agent settings).assertions);
in
{
  "an agent that is not enabled sets nothing" = {
    expr = (agent { enable = false; }).systemd.services;
    expected = { };
  };
  "the agent runs with what it is told" = {
    expr = (unit { }).serviceConfig.ExecStart;
    expected = ''"/freehold/bin/freehold" "agent" "run" "--from" "s3://shop" "--host" "web1" "--state" "/var/lib/freehold" "--runtime" "systemd" "--trusted-key" "k:1" "--no-routes" "--poll" "5m" "--leave-running"'';
  };
  "systemd hears that it is ready, and that it lives" = {
    expr = {
      inherit ((unit { }).serviceConfig) Type NotifyAccess WatchdogSec;
    };
    expected = {
      Type = "notify";
      NotifyAccess = "main";
      WatchdogSec = 120;
    };
  };
  "it reports and shows metrics where it is told to" = {
    expr = builtins.match ".*(\"--report\".*)" (unit {
      report = "s3://reports";
      metrics = "127.0.0.1:9464";
    }).serviceConfig.ExecStart;
    expected = [ "\"--report\" \"s3://reports\" \"--no-routes\" \"--poll\" \"5m\" \"--leave-running\" \"--metrics\" \"127.0.0.1:9464\"" ];
  };
  "words are quoted as systemd reads them" = {
    expr = builtins.match ".*(\"--from\" \"[^ ]*\").*" (unit { from = "file:///a%20$b\"c"; }).serviceConfig.ExecStart;
    expected = [ "\"--from\" \"file:///a%%20$$b\\\"c\"" ];
  };
  "with a timer it does rounds" = {
    expr = {
      inherit ((unit { timer = "*:0/5"; }).serviceConfig) Type;
      inherit ((agent { timer = "*:0/5"; }).systemd.timers.freehold-agent.timerConfig) OnCalendar;
    };
    expected = {
      Type = "oneshot";
      OnCalendar = "*:0/5";
    };
  };
  "services of the runtime process outlive the agent that started them" = {
    expr = map (settings: (unit settings).serviceConfig.KillMode or "control-group") [
      { }
      { runtime = "process"; }
      {
        runtime = "process";
        timer = "*:0/5";
      }
    ];
    expected = [
      "control-group"
      "process"
      "process"
    ];
  };
  "with Caddy its socket is named on both sides" = {
    expr =
      let
        with_caddy = agent { caddy.enable = true; };
      in
      {
        inherit (with_caddy.services.caddy) globalConfig;
        said = builtins.match ".*(\"--caddy\" \"[^\"]*\").*" with_caddy.systemd.services.freehold-agent.serviceConfig.ExecStart;
        after = with_caddy.systemd.services.freehold-agent.after;
      };
    expected = {
      globalConfig = "admin unix//run/caddy/admin.sock";
      said = [ "\"--caddy\" \"unix//run/caddy/admin.sock\"" ];
      after = [
        "network-online.target"
        "caddy.service"
      ];
    };
  };
  "Nix trusts the keys, too" = {
    expr = (agent { substituter = "https://c"; }).nix.settings;
    expected = {
      trusted-public-keys = [ "k:1" ];
      substituters = [ "https://c" ];
    };
  };
  "without keys it says what to do" = {
    expr = broken { trustedKeys = [ ]; };
    expected = [
      "services.freehold.agent.trustedKeys is empty: nobody's manifest would be followed; add what `freehold cache keygen` has printed"
    ];
  };
}
