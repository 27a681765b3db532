{ eval, ... }:
eval (
  { providers, ... }:
  {
    members.page = {
      type = providers.local.file;
      inputs = {
        path = "p";
        content = "c";
      };
    };
  }
)
