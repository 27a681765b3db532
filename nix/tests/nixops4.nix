# Modules written for NixOps4's component options evaluate here as well: provider modules with `resourceTypes`, options of
# inputs and outputs, `provider.executable`, `outputsSkeleton`, `_class`.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot probe;
  provider =
    {
      lib,
      resourceProviderSystem,
      ...
    }:
    let
      inherit (lib) mkOption types;
    in
    {
      _class = "nixops4Provider";
      config = {
        name = "Local";
        description = "…";
        executable = "/provider/${resourceProviderSystem}";
        resourceTypes.exec = {
          description = "Runs.";
          requireState = false;
          inputs.options = {
            executable = mkOption { type = types.str; };
            args = mkOption {
              type = types.listOf (types.coercedTo (types.either types.path types.int) (x: "${toString x}") types.str);
              default = [ ];
            };
            stdin = mkOption {
              type = types.nullOr types.str;
              default = null;
            };
          };
          outputs.options.stdout = mkOption { type = types.str; };
        };
        resourceTypes.memo = {
          requireState = true;
          inputs.options.initialize_with = mkOption { type = types.anything; };
          outputs.options.value = mkOption { type = types.anything; };
        };
      };
    };
  eval =
    module:
    (evalRoot {
      root = freehold.lib.mkRoot {
        modules = [
          { providers.old = provider; }
          module
        ];
      };
      outputs = {
        a.stdout = "out";
        bare.word = "w";
      };
    }).members;
in
{
  "a type of a provider module: defaults of options are filled in, values are coerced" = {
    expr =
      (eval (
        { providers, ... }:
        {
          members.a = {
            type = providers.old.exec;
            inputs = {
              executable = "/bin/true";
              args = [
                1
                "x"
              ];
            };
          };
        }
      )).a.resource;
    expected = {
      provider = {
        type = "stdio";
        executable = "/provider/x86_64-linux";
        args = [ ];
        config = { };
      };
      type = "exec";
      inputs = {
        executable = "/bin/true";
        args = [
          "1"
          "x"
        ];
        stdin = null;
      };
      outputsSkeleton.stdout = { };
      state = null;
    };
  };
  "the same in a member with modules" = {
    expr =
      (eval (
        { providers, members, ... }:
        {
          members.a = {
            imports = [ { _class = "nixops4Component"; } ];
            type = providers.old.exec;
            inputs = {
              executable = "/bin/true";
              args = [ 1 ];
            };
          };
          members.b = {
            type = providers.old.memo;
            inputs.initialize_with = members.a.outputs.stdout;
          };
        }
      ));
    expected =
      (eval (
        { providers, ... }:
        {
          members.a = {
            type = providers.old.exec;
            inputs = {
              executable = "/bin/true";
              args = [ 1 ];
            };
          };
          members.b = {
            type = providers.old.memo;
            inputs.initialize_with = "out";
          };
        }
      ));
  };
  "an input that the options do not have is refused in a member with modules, unless it declares it" = {
    expr =
      let
        inputs =
          module:
          probe
            (eval (
              { providers, ... }:
              {
                members.a = {
                  imports = [ module ];
                  type = providers.old.memo;
                  inputs.initialize_with = 1;
                };
              }
            )).a.resource.inputs;
      in
      [
        (inputs { inputs.extra = 1; })
        (inputs {
          inputs =
            { lib, ... }:
            {
              options.extra = lib.mkOption { default = 2; };
            };
        })
      ];
    expected = [
      "«unknown»"
      {
        initialize_with = 1;
        extra = 2;
      }
    ];
  };
  "an input that the options do not have is refused, one of the wrong type is unknown alone" = {
    expr =
      let
        inputs =
          i:
          probe
            (eval (
              { providers, ... }:
              {
                members.a = {
                  type = providers.old.exec;
                  inputs = i;
                };
              }
            )).a.resource.inputs;
      in
      [
        (inputs { exe = 1; })
        (inputs { executable = 1; })
      ];
    expected = [
      "«unknown»"
      {
        executable = "«unknown»";
        args = [ ];
        stdin = null;
      }
    ];
  };
  "a resource without a type: provider, resourceType, options of inputs and outputs" = {
    expr =
      let
        e = eval (
          { members, ... }:
          {
            members.bare =
              { config, lib, ... }:
              {
                imports = [ ];
                options.inputs = lib.mkOption {
                  type = lib.types.submodule { options.size = lib.mkOption { default = 1; }; };
                };
                options.outputs = lib.mkOption {
                  type = lib.types.submodule { options.word = lib.mkOption { type = lib.types.str; }; };
                };
                config = {
                  provider.executable = "/bin/p";
                  provider.args = [ "a" ];
                  resourceType = "thing";
                };
              };
            members.user = {
              type = "local.memo";
              inputs.initialize_with = members.bare.outputs.word;
            };
          }
        );
      in
      [
        e.bare.resource
        e.user.resource.inputs.initialize_with
      ];
    expected = [
      {
        provider = {
          type = "stdio";
          executable = "/bin/p";
          args = [ "a" ];
          config = { };
        };
        type = "thing";
        inputs.size = 1;
        outputsSkeleton.word = { };
        state = null;
      }
      "w"
    ];
  };
  "outputsSkeleton may be given" = {
    expr =
      (eval {
        members.bare = {
          provider.executable = "/bin/p";
          resourceType = "thing";
          outputsSkeleton.word = { };
        };
      }).bare.resource.outputsSkeleton;
    expected.word = { };
  };
  "outputs may be a module with options" = {
    expr =
      let
        e = eval (
          { members, ... }:
          {
            members.bare = {
              provider.executable = "/bin/p";
              resourceType = "thing";
              outputs =
                { lib, ... }:
                {
                  options.word = lib.mkOption { type = lib.types.str; };
                };
            };
            members.user = {
              type = "local.memo";
              inputs.initialize_with = members.bare.outputs.word;
            };
          }
        );
      in
      [
        e.bare.resource.outputsSkeleton
        e.user.resource.inputs.initialize_with
      ];
    expected = [
      { word = { }; }
      "w"
    ];
  };
  "resourceProviderSystem is an argument" = {
    expr =
      (eval (
        { resourceProviderSystem, ... }:
        {
          members.a = {
            type = "local.memo";
            inputs.initialize_with = resourceProviderSystem;
          };
        }
      )).a.resource.inputs.initialize_with;
    expected = "x86_64-linux";
  };
}
