# mkSequence: nested members with names of their own.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot;
  inherit (freehold.lib) mkRoot mkSequence;
  outputs = {
    "host.key".publicKey = "pub";
    top.hex = "t";
  };
  eval =
    module:
    (evalRoot {
      root = mkRoot { modules = [ module ]; };
      inherit outputs;
    }).members;
  memo = value: {
    type = "local.memo";
    inputs.initialize_with = value;
  };
in
{
  "members of a sequence are its own, what is around has the name of the outer argument" = {
    expr =
      (eval (
        top@{ members, ... }:
        {
          members.top = {
            type = "local.random";
            inputs.bytes = 1;
          };
          members.host = mkSequence (
            { members, ... }:
            {
              key = {
                type = "ssh.keypair";
                state = top.members.top;
              };
              use = memo "${members.key.outputs.publicKey}${top.members.top.outputs.hex}";
            }
          );
        }
      )).host.members.use.resource.inputs.initialize_with;
    expected = "pubt";
  };

  "a sequence may be written as every other composite" = {
    expr =
      (eval {
        members.host = mkSequence (
          { members, ... }:
          {
            members.key = {
              type = "ssh.keypair";
            };
            members.use = memo members.key.outputs.publicKey;
          }
        );
      }).host.members.use.resource.inputs.initialize_with;
    expected = "pub";
  };

  "a member of a sequence may be called `members`" = {
    expr = builtins.attrNames (eval {
      members.host = mkSequence (_: {
        members = memo "x";
      });
    }).host.members;
    expected = [ "members" ];
  };

  "a sequence is the same as nested members" = {
    expr =
      (eval {
        members.host = mkSequence (
          { members, ... }:
          {
            key.type = "ssh.keypair";
            use = memo members.key.outputs.publicKey;
          }
        );
      }).host;
    expected =
      (eval {
        members.host =
          { members, ... }:
          {
            members.key.type = "ssh.keypair";
            members.use = memo members.key.outputs.publicKey;
          };
      }).host;
  };

  "sequences nest" = {
    expr =
      (eval {
        members.a = mkSequence (_: {
          b = mkSequence ({ members, ... }: { c = memo 1; });
        });
      }).a.members.b.members.c.resource.inputs.initialize_with;
    expected = 1;
  };

  "a sequence may ask for providers and lib" = {
    expr =
      (eval {
        members.a = mkSequence (
          { providers, lib, ... }:
          {
            b = {
              type = providers.local.memo;
              inputs.initialize_with = lib.toUpper "x";
            };
          }
        );
      }).a.members.b.resource.inputs.initialize_with;
    expected = "X";
  };

  "state is the path of the member from the root, or a list of names" = {
    expr =
      let
        e = eval (
          { members, ... }:
          {
            members.store.members.state.type = "local.state_file";
            members.a = memo 1 // {
              state = members.store.members.state;
            };
            members.b = memo 1 // {
              state = [
                "store"
                "state"
              ];
            };
          }
        );
      in
      [
        e.a.resource.state
        e.b.resource.state
      ];
    expected = [
      [
        "store"
        "state"
      ]
      [
        "store"
        "state"
      ]
    ];
  };

  "modules in files reach the library by the argument `freehold`, also in imports" = {
    expr =
      (eval (
        { freehold, resourceProviderSystem, ... }:
        {
          imports = freehold.lib.lib.optional (resourceProviderSystem != "") {
            members.a = freehold.lib.mkSequence (_: { b = memo 1; });
          };
        }
      )).a.members.b.resource.type;
    expected = "memo";
  };
}
