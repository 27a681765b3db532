# Providers: built-in, declared, aliases, scopes, names.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot;
  evalAll = modules: (evalRoot { root = freehold.lib.mkRoot { inherit modules; }; }).members;
  eval = module: evalAll [ module ];
  typeOf = m: "${m.resource.provider.name or m.resource.provider.executable}:${m.resource.type}";
in
{
  "types with a dot have short names, and strings name them too" = {
    expr = map typeOf (
      builtins.attrValues (
        eval (
          { providers, ... }:
          {
            members = {
              a.type = providers.ssh.keypair;
              b.type = providers.local."ssh.keypair";
              c.type = "ssh.keypair";
              d.type = "local.ssh.keypair";
              e.type = providers.age.keypair;
              f.type = providers.nix.keypair;
              g.type = providers.nix.build;
              h.type = providers.s3.object;
              i.type = "s3.object";
              j.type = "s3.bucket";
            };
          }
        )
      )
    );
    expected = [
      "local:ssh.keypair"
      "local:ssh.keypair"
      "local:ssh.keypair"
      "local:ssh.keypair"
      "local:age.keypair"
      "local:nix.keypair"
      "nix:build"
      "s3:object"
      "s3:object"
      "s3:bucket"
    ];
  };

  "unknown names are errors" = {
    expr =
      map
        (
          t:
          (builtins.tryEval
            (eval {
              members.a.type = t;
            }).a.resource.type
          ).success
        )
        [
          "local.fiel"
          "locla.file"
          "file"
          { }
          1
        ];
    expected = [
      false
      false
      false
      false
      false
    ];
  };

  "a declared provider is reached by its name, with args and config" = {
    expr =
      (eval (
        { providers, ... }:
        {
          providers.mine = {
            executable = "/bin/mine";
            args = [ "serve" ];
            config.region = "eu";
            types.thing = {
              inputs.size = {
                required = true;
              };
              outputs = [ "id" ];
            };
          };
          members.a = {
            type = providers.mine.thing;
            inputs.size = 1;
          };
        }
      )).a.resource;
    expected = {
      provider = {
        type = "stdio";
        executable = "/bin/mine";
        args = [ "serve" ];
        config.region = "eu";
      };
      type = "thing";
      inputs.size = 1;
      outputsSkeleton.id = { };
      state = null;
    };
  };

  "a built-in provider can be configured, and be had twice" = {
    expr =
      builtins.mapAttrs (_: m: m.resource.provider)
        (eval (
          { providers, ... }:
          {
            providers.s3.config.credentials = "env";
            providers.backup = {
              from = "s3";
              config.credentials = "file";
            };
            members.a.type = providers.s3.object;
            members.b.type = providers.backup.object;
            members.c.type = "backup.bucket";
          }
        ));
    expected = {
      a = {
        type = "builtin";
        name = "s3";
        config.credentials = "env";
      };
      b = {
        type = "builtin";
        name = "s3";
        config.credentials = "file";
      };
      c = {
        type = "builtin";
        name = "s3";
        config.credentials = "file";
      };
    };
  };

  "a provider declared in a composite is there and below, not beside" = {
    expr =
      let
        e = eval {
          members.in-it =
            { providers, ... }:
            {
              providers.s3.config.x = 1;
              members.a.type = providers.s3.object;
              members.b.members.c.type = "s3.object";
              members.d =
                { providers, ... }:
                {
                  type = providers.s3.object;
                };
            };
          members.beside.type = "s3.object";
        };
        config = m: m.resource.provider.config;
      in
      [
        (config e.in-it.members.a)
        (config e.in-it.members.b.members.c)
        (config e.in-it.members.d)
        (config e.beside)
      ];
    expected = [
      { x = 1; }
      { x = 1; }
      { x = 1; }
      { }
    ];
  };

  "settings of a provider hold for its types under their short names, and not for its aliases" = {
    expr =
      let
        e = eval (
          { providers, ... }:
          {
            providers.local.config.x = 1;
            providers.other = {
              from = "local";
              config.y = 2;
            };
            members.a.type = providers.ssh.keypair;
            members.b.type = providers.other.uuid;
            members.c =
              { providers, ... }:
              {
                providers.local.config.z = 3;
                members.a.type = providers.ssh.keypair;
                members.b.type = providers.other.uuid;
              };
          }
        );
      in
      map (m: m.resource.provider.config) [
        e.a
        e.b
        e.c.members.a
        e.c.members.b
      ];
    expected = [
      { x = 1; }
      { y = 2; }
      {
        x = 1;
        z = 3;
      }
      { y = 2; }
    ];
  };

  "settings of one member go on top of those of its provider" = {
    expr =
      (eval {
        providers.s3.config = {
          a = 1;
          b = 2;
        };
        members.a = {
          type = "s3.object";
          provider.config.b = 3;
        };
      }).a.resource.provider;
    expected = {
      type = "builtin";
      name = "s3";
      config = {
        a = 1;
        b = 3;
      };
    };
  };

  "an alias of a provider that is not there is an error" = {
    throws =
      (eval (
        { providers, ... }:
        {
          providers.backup.from = "s4";
          members.a.type = providers.backup.object;
        }
      )).a.resource.provider;
  };

  "what the engine offers replaces the committed schemas" = {
    expr =
      let
        export =
          (freehold.lib.mkRoot { modules = [ { members.a.type = "cloud.vm"; } ]; }).rootFunction
            {
              resourceProviderSystem = "x86_64-linux";
              outputValues = { };
              freehold.providers.cloud.types.vm = {
                inputs = { };
                outputs.ip = {
                  description = "";
                  sensitive = false;
                };
              };
            };
      in
      export.members.a.resource.outputsSkeleton;
    expected.ip = { };
  };

  "every built-in type has a page of documentation that names its inputs and outputs" = {
    expr =
      let
        docs = freehold.lib.renderProviderDocs { };
        local = (builtins.fromJSON (builtins.readFile ../providers/local.json)).types;
        has = infix: text: builtins.length (builtins.split infix text) > 1;
      in
      builtins.all (
        t:
        builtins.all (i: has "`${i}`" docs."local.${t}") (
          builtins.attrNames local.${t}.inputs ++ builtins.attrNames local.${t}.outputs
        )
      ) (builtins.attrNames local);
    expected = true;
  };

  "reveal comes from the engine" = {
    expr =
      let
        root = freehold.lib.mkRoot {
          modules = [
            (
              { reveal, ... }:
              {
                members.a.type = "local.memo";
                members.a.inputs.initialize_with = reveal "token";
              }
            )
          ];
        };
      in
      (evalRoot {
        inherit root;
        extra.freehold.reveal = t: "clear ${t}";
      }).members.a.resource.inputs.initialize_with;
    expected = "clear token";
  };
}
