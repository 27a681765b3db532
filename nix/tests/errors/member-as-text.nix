{ eval, ... }:
eval (
  { members, ... }:
  {
    members.id.type = "local.uuid";
    members.page = {
      type = "local.file";
      inputs = {
        path = "p";
        contents = "id ${members.id}";
      };
    };
  }
)
