# Inputs: how definitions become values, and what is refused.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot probe;
  eval = module: evalRoot { root = freehold.lib.mkRoot { modules = [ module ]; }; };
  inputsOf = modules: (evalRoot { root = freehold.lib.mkRoot { inherit modules; }; }).members.a.resource.inputs;
  own = {
    providers.mine = {
      executable = "/bin/mine";
      types.open = { };
      types.strict = {
        inputs = [
          "ssh"
          "list"
        ];
      };
    };
  };
in
{
  "nested sets from several modules are joined" = {
    expr = inputsOf [
      own
      (
        { providers, ... }:
        {
          members.a.type = providers.mine.strict;
          members.a.inputs.ssh.host = "h";
        }
      )
      { members.a.inputs.ssh.port = 22; }
    ];
    expected.ssh = {
      host = "h";
      port = 22;
    };
  };

  "two different values for one input are a conflict" = {
    throws = inputsOf [
      own
      (
        { providers, ... }:
        {
          members.a.type = providers.mine.strict;
          members.a.inputs.list = [ 1 ];
        }
      )
      { members.a.inputs.list = [ 2 ]; }
    ];
  };

  "properties work on inputs, around them and deep inside" = {
    expr = inputsOf [
      own
      (
        { lib, providers, ... }:
        {
          members.a.type = providers.mine.open;
          members.a.inputs = lib.mkMerge [
            { x = lib.mkDefault 1; }
            (lib.mkIf true { x = 2; })
            (lib.mkIf false { y = throw "never"; })
            { env.A = lib.mkIf true "a"; }
          ];
        }
      )
    ];
    expected = {
      x = 2;
      env.A = "a";
    };
  };

  "an input under a false condition throws when it is asked for and says what to write" = {
    expr = probe (inputsOf [
      own
      (
        { lib, providers, ... }:
        {
          members.a.type = providers.mine.open;
          members.a.inputs.x = lib.mkIf false 1;
          members.a.inputs.y = 2;
        }
      )
    ]);
    expected = {
      x = "«unknown»";
      y = 2;
    };
  };

  "without a schema any input is taken" = {
    expr = inputsOf [
      own
      (
        { providers, ... }:
        {
          members.a.type = providers.mine.open;
          members.a.inputs = {
            config = 1;
            options = 2;
            imports = 3;
          };
        }
      )
    ];
    expected = {
      config = 1;
      options = 2;
      imports = 3;
    };
  };

  "an input that the type does not have is refused" = {
    throws = inputsOf [
      own
      (
        { providers, ... }:
        {
          members.a.type = providers.mine.strict;
          members.a.inputs.shs = 1;
        }
      )
    ];
  };

  "derivations, functions and paths pass as they are" = {
    expr =
      let
        drv = derivation {
          name = "d";
          system = "x";
          builder = "b";
        };
        i = inputsOf [
          own
          (
            { providers, ... }:
            {
              members.a.type = providers.mine.open;
              members.a.inputs = {
                drv = drv;
                f = x: x + 1;
                p = ./inputs.nix;
              };
            }
          )
        ];
      in
      [
        (i.drv.drvPath == drv.drvPath)
        (i.f 1)
        (builtins.typeOf i.p)
      ];
    expected = [
      true
      2
      "path"
    ];
  };

  "inputs may be a module with options, and what is not declared is refused" = {
    expr =
      let
        withInputs =
          extra:
          probe
            (eval {
              members.a = {
                provider.executable = "/bin/mine";
                resourceType = "thing";
                inputs =
                  { config, lib, ... }:
                  {
                    options.size = lib.mkOption {
                      type = lib.types.int;
                      default = 3;
                    };
                    options.double = lib.mkOption { default = config.size * 2; };
                    config = extra;
                  };
              };
            }).members.a.resource.inputs;
      in
      [
        (withInputs { size = 4; })
        (withInputs { sise = 4; })
      ];
    expected = [
      {
        size = 4;
        double = 8;
      }
      "«unknown»"
    ];
  };

  "a required input that is missing is refused" = {
    throws = inputsOf [
      {
        members.a.type = "local.file";
        members.a.inputs.path = "p";
      }
    ];
  };

  "an input may go by another name that the type knows" = {
    expr = inputsOf [
      (
        { providers, ... }:
        {
          providers.mine = {
            executable = "/bin/mine";
            types.thing = {
              inputs.path.required = true;
              aliases.name = "path";
            };
          };
          members.a.type = providers.mine.thing;
          members.a.inputs.name = "n";
        }
      )
    ];
    expected.name = "n";
  };
}
