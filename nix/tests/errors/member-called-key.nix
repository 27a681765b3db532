{ eval, ... }:
eval (
  { providers, ... }:
  {
    members.a = {
      key = { type = providers.local.uuid; };
    };
  }
)
