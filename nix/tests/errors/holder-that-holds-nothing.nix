{ eval, ... }:
eval (
  { members, ... }:
  {
    members.id.type = "local.uuid";
    members.key = {
      type = "ssh.keypair";
      state = members.id;
    };
  }
)
