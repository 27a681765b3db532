# The older form: `{ resources, … }: { resources.… }`.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot;
  eval =
    deployment:
    (evalRoot {
      root = freehold.lib.mkLegacyRoot deployment;
      outputs = {
        id.hex = "aa";
        key = {
          publicKey = "pub";
          privateKey = "priv";
        };
        "my-host.key".publicKey = "inner";
      };
    }).members;
in
{
  "outputs are read without .outputs" = {
    expr =
      (eval (
        { resources, ... }:
        {
          resources.id = {
            type = "local.random";
            inputs.bytes = 1;
          };
          resources.page = {
            type = "local.file";
            inputs = {
              path = "p";
              contents = resources.id.hex;
            };
          };
        }
      )).page.resource.inputs.contents;
    expected = "aa";
  };

  "the holder of the state may be an input" = {
    expr =
      let
        r =
          (eval (
            { resources, ... }:
            {
              resources.state = {
                type = "s3.object";
                inputs = {
                  endpoint = "https://garage.example.com";
                  bucket = "b";
                };
              };
              resources.key = {
                type = "ssh.keypair";
                inputs.state = resources.state;
              };
            }
          )).key.resource;
      in
      {
        inherit (r) state inputs type;
      };
    expected = {
      state = [ "state" ];
      inputs = { };
      type = "ssh.keypair";
    };
  };

  "sequences, and the handle of a resource around them" = {
    expr =
      let
        e = eval (
          top@{ resources, ... }:
          {
            resources.state = {
              type = "local.state_file";
              inputs.path = "s";
            };
            resources.my-host = freehold.lib.mkSequence (
              { resources, ... }:
              {
                key = {
                  type = "ssh.keypair";
                  inputs.state = top.resources.state.handle;
                };
                use = {
                  type = "local.memo";
                  inputs.initialize_with = resources.key.publicKey;
                };
              }
            );
          }
        );
      in
      [
        e.my-host.members.key.resource.state
        e.my-host.members.use.resource.inputs.initialize_with
      ];
    expected = [
      [ "state" ]
      "inner"
    ];
  };

  "options and imports" = {
    expr =
      (eval {
        imports = [
          (
            { lib, ... }:
            {
              options.greeting = lib.mkOption { type = lib.types.str; };
            }
          )
          (
            { config, ... }:
            {
              resources.a = {
                type = "local.memo";
                inputs.initialize_with = config.greeting;
              };
            }
          )
        ];
        greeting = "hi";
      }).a.resource.inputs.initialize_with;
    expected = "hi";
  };

  "a provider of one's own, with a type that is a name at that provider" = {
    expr =
      let
        r =
          (eval {
            resources.a = {
              provider.executable = "/bin/p";
              type = "file";
              inputs.name = "n";
              outputsSkeleton.out = { };
            };
          }).a.resource;
      in
      {
        inherit (r) type inputs outputsSkeleton;
        inherit (r.provider) executable;
        kind = r.provider.type;
      };
    expected = {
      type = "file";
      inputs.name = "n";
      outputsSkeleton.out = { };
      executable = "/bin/p";
      kind = "stdio";
    };
  };

  "what mkDeployment made: a function without modules" = {
    expr =
      (eval {
        _type = "nixops4Deployment";
        deploymentFunction =
          { resources, resourceProviderSystem }:
          {
            resources.id = {
              type = "random";
              provider = {
                type = "stdio";
                executable = "/bin/p";
                args = [ ];
              };
              inputs = { };
              outputsSkeleton.hex = { };
            };
            resources.b = {
              type = "file";
              provider = {
                type = "stdio";
                executable = "/bin/p";
                args = [ ];
              };
              inputs.contents = resources.id.hex;
              outputsSkeleton = { };
            };
          };
      }).b.resource.inputs.contents;
    expected = "aa";
  };

  "all deployments of a flake at once, each a member" = {
    expr =
      let
        key =
          { resources, ... }:
          {
            resources.state.type = "local.state_file";
            resources.key = {
              type = "ssh.keypair";
              inputs.state = resources.state;
            };
            resources.use = {
              type = "local.memo";
              inputs.initialize_with = resources.key.publicKey;
            };
          };
        e = evalRoot {
          root = freehold.lib.mkLegacyRoots {
            default = key;
            other = key;
          };
          outputs."other.key".publicKey = "pub";
        };
      in
      [
        (builtins.attrNames e.members)
        e.members.other.members.key.resource.state
        e.members.other.members.use.resource.inputs.initialize_with
      ];
    expected = [
      [
        "default"
        "other"
      ]
      [
        "other"
        "state"
      ]
      "pub"
    ];
  };
  "the only deployment of a flake is the root" = {
    expr = builtins.attrNames (evalRoot { root = freehold.lib.mkLegacyRoots { default.resources.a.type = "local.uuid"; }; }).members;
    expected = [ "a" ];
  };
}
