# Structure that depends on outputs, and laziness: what is not known must not spoil what is.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot probe;
  evalWith =
    outputs: module:
    evalRoot {
      root = freehold.lib.mkRoot { modules = [ module ]; };
      inherit outputs;
    };
  memo = value: {
    type = "local.memo";
    inputs.initialize_with = value;
  };
  names = builtins.attrNames;

  setOfMembers =
    { members, ... }:
    {
      members.list = memo [ ];
      members.all.members = builtins.listToAttrs (
        map (name: {
          inherit name;
          value = memo name;
        }) members.list.outputs.value
      );
    };

  kind =
    { members, ... }:
    {
      members.a = memo 1;
      members.b = if members.a.outputs.value == 1 then memo 2 else { members.c = memo 3; };
    };

  typeOfMember =
    { members, ... }:
    {
      members.holder.type = "local.state_file";
      members.a = memo 1;
      members.b = {
        type = if members.a.outputs.value == 1 then "local.memo" else "local.uuid";
        inputs = if members.a.outputs.value == 1 then { initialize_with = 1; } else { };
        state = if members.a.outputs.value == 1 then members.holder else null;
      };
    };

in
{
  "members can be listed although the set of a nested one is unknown" = {
    expr = probe (evalWith { } setOfMembers);
    expected = {
      members = {
        list = probe (evalWith { } setOfMembers).members.list;
        all.members = "«unknown»";
      };
    };
  };
  "the set of members follows an output" = {
    expr = names (evalWith { list.value = [ "x" "y" ]; } setOfMembers).members.all.members;
    expected = [
      "x"
      "y"
    ];
  };

  "members can be listed although the kind of one is unknown" = {
    expr =
      let
        e = evalWith { } kind;
      in
      [
        (names e.members)
        (probe e.members.b)
      ];
    expected = [
      [
        "a"
        "b"
      ]
      "«unknown»"
    ];
  };
  "the kind of a member follows an output" = {
    expr = map (v: names (evalWith { a.value = v; } kind).members.b) [
      1
      2
    ];
    expected = [
      [ "resource" ]
      [ "members" ]
    ];
  };

  "type, names of inputs and state follow an output" = {
    expr =
      map
        (
          v:
          let
            r = (evalWith { a.value = v; } typeOfMember).members.b.resource;
          in
          {
            inherit (r) type state;
            inputs = names r.inputs;
          }
        )
        [
          1
          2
        ];
    expected = [
      {
        type = "memo";
        state = [ "holder" ];
        inputs = [ "initialize_with" ];
      }
      {
        type = "uuid";
        state = null;
        inputs = [ ];
      }
    ];
  };
  "an unknown type leaves the member a resource" = {
    expr = probe (evalWith { } typeOfMember).members.b;
    expected.resource = {
      type = "«unknown»";
      provider = "«unknown»";
      inputs = "«unknown»";
      outputsSkeleton = "«unknown»";
      state = "«unknown»";
    };
  };

  "an input that cannot be evaluated leaves the others alone" = {
    expr =
      probe
        (evalWith { } {
          members.a = {
            type = "local.exec";
            inputs = {
              executable = throw "no";
              args = [
                "x"
                (throw "no")
              ];
              env = {
                A = throw "no";
                B = "b";
              };
            };
          };
        }).members.a.resource.inputs;
    expected = {
      executable = "«unknown»";
      args = [
        "x"
        "«unknown»"
      ];
      env = {
        A = "«unknown»";
        B = "b";
      };
    };
  };

  "an input that cannot be evaluated leaves the others alone in a member with modules" = {
    expr =
      probe
        (evalWith { } {
          members.a =
            { ... }:
            {
              imports = [ { type = "local.exec"; } ];
              inputs = {
                executable = throw "no";
                stdin = "in";
                env = {
                  A = throw "no";
                  B = "b";
                };
              };
            };
        }).members.a.resource.inputs;
    expected = {
      executable = "«unknown»";
      stdin = "in";
      env = {
        A = "«unknown»";
        B = "b";
      };
    };
  };

  "a member that cannot be evaluated leaves the others alone" = {
    expr =
      let
        e = evalWith { } {
          members.a = throw "no";
          members.b = memo 1;
        };
      in
      [
        (names e.members)
        e.members.b.resource.type
      ];
    expected = [
      [
        "a"
        "b"
      ]
      "memo"
    ];
  };

  "elements of lists in lifecycle and operations are unknown one by one" = {
    expr =
      let
        r =
          (evalWith { } (
            { members, ... }:
            {
              members.a = memo 1;
              members.b = memo 2 // {
                lifecycle.replaceWhen = [
                  1
                  members.a.outputs.value
                ];
                operations.go = {
                  executable = "/bin/true";
                  args = [
                    "x"
                    members.a.outputs.value
                  ];
                };
              };
            }
          )).members.b.resource;
      in
      probe [
        r.lifecycle.replaceWhen
        r.operations.go.args
      ];
    expected = [
      [
        1
        "«unknown»"
      ]
      [
        "x"
        "«unknown»"
      ]
    ];
  };

  "conditions that depend on outputs are unknown, their texts are not" = {
    expr =
      probe
        (evalWith { } (
          { members, ... }:
          {
            members.a = memo 1;
            members.b = memo 2 // {
              preconditions = [
                {
                  assertion = members.a.outputs.value == 1;
                  message = "m";
                }
              ];
            };
          }
        )).members.b.resource.preconditions;
    expected = [
      {
        assertion = "«unknown»";
        message = "m";
      }
    ];
  };

  "ten thousand members are listed without looking at one" = {
    expr =
      builtins.length (
        names
          (evalWith { } {
            members = builtins.listToAttrs (
              builtins.genList (i: {
                name = "m${toString i}";
                value = throw "looked at";
              }) 10000
            );
          }).members
      );
    expected = 10000;
  };

  "a cycle between inputs and outputs of two members is no cycle of evaluation" = {
    expr =
      probe
        (evalWith { } (
          { members, ... }:
          {
            members.a = memo members.b.outputs.value;
            members.b = memo members.a.outputs.value;
          }
        )).members.a.resource.inputs;
    expected.initialize_with = "«unknown»";
  };
}
