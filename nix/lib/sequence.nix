# mkSequence: members that belong together, as one nested composite.
#
#   members.my-host = freehold.lib.mkSequence ({ members, ... }: {
#     keypair = { type = providers.ssh.keypair; };
#     system = { …; inputs.key = members.keypair.outputs.privateKey; };
#   });
#
# It is short for `{ members, ... }: { members = { … }; }`. Order comes from the values that flow, as everywhere; inside,
# `members` are the sequence's own, and what is around it is reached by the name of an outer argument (`top.members.…`).
{
  mkSequence =
    f:
    let
      asked = if builtins.isAttrs f && f ? __functionArgs then f.__functionArgs else builtins.functionArgs f;
    in
    {
      __functor = _: args: {
        members =
          let
            given = f args;
            inner = given.members;
          in
          # Written as every other composite is: `{ members.key = …; }`.
          if
            builtins.attrNames given == [ "members" ]
            && builtins.isAttrs inner
            && !(inner ? type || inner ? inputs || inner ? members || inner ? __functor)
          then
            inner
          else
            given;
      };
      __functionArgs = {
        members = true;
        resources = true;
        config = true;
      }
      // asked;
    };
}
