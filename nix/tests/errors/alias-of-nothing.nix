{ eval, ... }:
eval (
  { providers, ... }:
  {
    providers.backup.from = "s4";
    members.a.type = providers.backup.object;
  }
)
