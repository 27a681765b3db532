# Members, composites, views: what a module sees and what the engine gets.
{ freehold, harness, lib, ... }:
let
  inherit (harness) evalRoot probe;
  eval =
    module:
    evalRoot {
      root = freehold.lib.mkRoot { modules = [ module ]; };
      outputs = {
        a.hex = "aa";
        "deep.er.a".hex = "bb";
      };
    };
  random = providers: {
    type = providers.local.random;
    inputs.bytes = 1;
  };
in
{
  "a resource has provider, type, inputs, names of outputs and state, and nothing that was not said" = {
    expr = (eval ({ providers, ... }: { members.a = random providers; })).members.a;
    expected.resource = {
      provider = {
        type = "builtin";
        name = "local";
        config = { };
      };
      type = "random";
      inputs.bytes = 1;
      outputsSkeleton = builtins.mapAttrs (_: _: { }) (builtins.fromJSON (builtins.readFile ../providers/local.json)).types.random.outputs;
      state = null;
    };
  };

  "an empty member is an empty composite" = {
    expr = (eval { members.a = { }; }).members.a;
    expected.members = { };
  };

  "a member under a false condition is an empty composite, so that the names do not depend on conditions" = {
    expr = (eval ({ lib, ... }: { members.a = lib.mkIf false { type = "local.uuid"; }; })).members;
    expected.a.members = { };
  };

  "members under a false condition do not exist" = {
    expr =
      (eval (
        { lib, ... }: {
          members = lib.mkMerge [
            (lib.mkIf false { a = { }; })
            { b = { }; }
          ];
        }
      )).members;
    expected.b.members = { };
  };

  "outputs are reached through members at any depth" = {
    expr =
      (eval (
        { members, providers, ... }:
        {
          members.a = random providers;
          members.deep.members.er.members.a = random providers;
          members.page = {
            type = providers.local.file;
            inputs = {
              path = members.a.outputs.hex;
              contents = members.deep.members.er.members.a.outputs.hex;
            };
          };
        }
      )).members.page.resource.inputs;
    expected = {
      path = "aa";
      contents = "bb";
    };
  };

  "a member that is a function gets its own members, its siblings and the root" = {
    expr =
      (eval (
        { providers, ... }:
        {
          members.a = random providers;
          members.deep =
            { siblings, root, ... }:
            {
              members.er =
                { members, ... }:
                {
                  members.a = random providers;
                  members.b = {
                    type = providers.local.memo;
                    inputs.initialize_with = [
                      members.a.outputs.hex
                      siblings.a.outputs.hex
                      root.a.outputs.hex
                      root.deep.members.er.members.a.outputs.hex
                    ];
                  };
                };
            };
        }
      )).members.deep.members.er.members.b.resource.inputs.initialize_with;
    expected = [
      "bb"
      "aa"
      "aa"
      "bb"
    ];
  };

  "a member that is a function gets its name, lib and config" = {
    expr =
      (eval {
        members.a =
          {
            config,
            lib,
            name,
            providers,
            ...
          }:
          {
            type = providers.local.memo;
            inputs.initialize_with = lib.optionals true [
              name
              config.absoluteMemberPath
            ];
          };
      }).members.a.resource.inputs.initialize_with;
    expected = [
      "a"
      [ "a" ]
    ];
  };

  "a member may import modules, declare options and use its own config" = {
    expr =
      (eval (
        { providers, ... }:
        {
          members.a =
            { config, lib, ... }:
            {
              imports = [ { word = "hi"; } ];
              options.word = lib.mkOption { type = lib.types.str; };
              config = {
                type = providers.local.memo;
                inputs.initialize_with = "${config.word}!";
              };
            };
        }
      )).members.a;
    expected.resource = {
      provider = {
        type = "builtin";
        name = "local";
        config = { };
      };
      type = "memo";
      inputs.initialize_with = "hi!";
      outputsSkeleton.value = { };
      state = null;
    };
  };

  "outputs of a member with modules are seen by others and by itself" = {
    expr =
      (eval (
        { members, providers, ... }:
        {
          members.a =
            { config, ... }:
            {
              imports = [ (random providers) ];
              operations.show.executable = config.outputs.hex;
            };
          members.b = {
            type = providers.local.memo;
            inputs.initialize_with = [
              members.a.outputs.hex
              members.a.inputs.bytes
            ];
          };
        }
      )).members;
    expected =
      let
        plain = eval (
          { providers, ... }:
          {
            members.a = random providers // {
              operations.show.executable = "aa";
            };
            members.b = {
              type = providers.local.memo;
              inputs.initialize_with = [
                "aa"
                1
              ];
            };
          }
        );
      in
      plain.members;
  };

  "a member may be the path of a module" = {
    expr = (eval { members.a = ./fixtures/member.nix; }).members.a.resource.inputs;
    expected.bytes = 3;
  };

  "modules merge into one member" = {
    expr =
      (evalRoot {
        root = freehold.lib.mkRoot {
          modules = [
            { members.a.type = "local.file"; }
            { members.a.inputs.path = "p"; }
            (
              { lib, ... }:
              {
                members.a.inputs = {
                  path = lib.mkForce "q";
                  contents = lib.mkDefault "x";
                };
              }
            )
          ];
        };
      }).members.a.resource.inputs;
    expected = {
      path = "q";
      contents = "x";
    };
  };

  "a member may have a name with dots, quotes and spaces" = {
    expr =
      (evalRoot {
        root = freehold.lib.mkRoot {
          modules = [
            (
              { members, ... }:
              {
                members."a.b \"c\" ü" = {
                  type = "local.memo";
                  inputs.initialize_with = 1;
                };
                members.d = {
                  type = "local.memo";
                  inputs.initialize_with = members."a.b \"c\" ü".outputs.value;
                };
              }
            )
          ];
        };
        outputs."a.b \"c\" ü".value = 7;
      }).members.d.resource.inputs.initialize_with;
    expected = 7;
  };

  "a typed member without its required inputs throws when its inputs are asked for, not before" = {
    expr =
      let
        m = (eval { members.a.type = "local.file"; }).members.a;
      in
      [
        m.resource.type
        (builtins.tryEval (builtins.attrNames m.resource.inputs)).success
      ];
    expected = [
      "file"
      false
    ];
  };

  "both a type and members is an error" = {
    throws =
      (eval {
        members.a = {
          type = "local.uuid";
          members.b = { };
        };
      }).members.a;
  };

  "inputs without a type is an error" = {
    throws = (eval { members.a.inputs.x = 1; }).members.a;
  };

  "an option that does not exist is an error, and its siblings do not mind" = {
    expr =
      probe
        (eval {
          members.a.tpye = "local.uuid";
          members.b.type = "local.uuid";
        }).members.b.resource.type;
    expected = "uuid";
  };
  "an option that does not exist throws" = {
    throws = (eval { members.a.tpye = "local.uuid"; }).members.a;
  };

  "specialArgs and prefix are passed on, also to members" = {
    expr =
      (evalRoot {
        root = freehold.lib.mkRoot {
          prefix = [ "deployment" ];
          specialArgs.word = "w";
          modules = [
            (
              { word, ... }:
              {
                members.a.type = "local.memo";
                members.a.inputs.initialize_with = word;
                members.b =
                  { word, ... }:
                  {
                    type = "local.memo";
                    inputs.initialize_with = word + word;
                  };
              }
            )
          ];
        };
      }).members.b.resource.inputs.initialize_with;
    expected = "ww";
  };

  "another lib may be passed to mkRoot" = {
    expr =
      (evalRoot {
        root = freehold.lib.mkRoot {
          inherit lib;
          modules = [ { members.a.type = "local.uuid"; } ];
        };
      }).members.a.resource.type;
    expected = "uuid";
  };

  "a root says what it is" = {
    expr =
      let
        root = freehold.lib.mkRoot { modules = [ ]; };
      in
      [
        root._type
        root.freehold
        (evalRoot { inherit root; })
      ];
    expected = [
      "nixops4Component"
      1
      { members = { }; }
    ];
  };

  "a mix-in that declares members again adds modules to every member" = {
    expr =
      (evalRoot {
        root = freehold.lib.mkRoot {
          modules = [
            (
              { lib, ... }:
              {
                options.members = lib.mkOption {
                  type = lib.types.lazyAttrsOf (
                    lib.types.submoduleWith {
                      modules = [
                        (
                          { lib, name, ... }:
                          {
                            inputs.initialize_with = lib.mkDefault name;
                          }
                        )
                      ];
                    }
                  );
                };
                config.members = {
                  a.type = "local.memo";
                  b = {
                    type = "local.memo";
                    inputs.initialize_with = "mine";
                  };
                };
              }
            )
          ];
        };
      }).members;
    expected =
      (evalRoot {
        root = freehold.lib.mkRoot {
          modules = [
            {
              members = {
                a = {
                  type = "local.memo";
                  inputs.initialize_with = "a";
                };
                b = {
                  type = "local.memo";
                  inputs.initialize_with = "mine";
                };
              };
            }
          ];
        };
      }).members;
  };

  "checks, moves and removals of a composite are seen from it and exported from the root" = {
    expr = removeAttrs
      (eval {
        members.a = {
          members.b = { };
          moved = [
            {
              from = "old";
              to = [ "b" ];
            }
          ];
          removed = [ "gone.for" ];
          checks = [
            {
              assertion = true;
              message = "m";
            }
          ];
        };
      }).members.a
      [ "members" ];
    expected = {
      moved = [
        {
          from = [
            "a"
            "old"
          ];
          to = [
            "a"
            "b"
          ];
        }
      ];
      removed = [
        [
          "a"
          "gone"
          "for"
        ]
      ];
      checks = [
        {
          assertion = true;
          message = "m";
        }
      ];
    };
  };

  "getProviders is a derivation that names the executables of the root" = {
    expr =
      let
        drv =
          (freehold.lib.mkRoot { modules = [ { providers.mine.executable = "/bin/mine"; } ]; }).getProviders
            { system = "x86_64-linux"; };
      in
      [
        drv.type
        drv.system
        (builtins.fromJSON drv.providers)
      ];
    expected = [
      "derivation"
      "x86_64-linux"
      {
        mine = {
          executable = "/bin/mine";
          args = [ ];
        };
      }
    ];
  };

  "every option of a component is documented" = {
    expr =
      let
        docs = freehold.lib.renderOptionDocs { };
      in
      builtins.filter (name: builtins.length (builtins.split "## `${name}`" docs) != 3) [
        "checks"
        "dependsOn"
        "inputs"
        "lifecycle"
        "members"
        "moved"
        "operations"
        "outputs"
        "postconditions"
        "preconditions"
        "provider"
        "providers"
        "removed"
        "state"
        "type"
      ];
    expected = [ ];
  };
}
