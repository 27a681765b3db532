{ eval, ... }:
eval (
  { lib, ... }:
  {
    members.a = {
      type = "local.file";
      inputs = {
        path = "p";
        contents = "c";
        mode = lib.mkIf false "0600";
      };
    };
  }
)
