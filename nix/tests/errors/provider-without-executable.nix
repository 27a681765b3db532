{ eval, ... }:
eval (
  { providers, ... }:
  {
    providers.mine.config = { };
    members.a.type = providers.mine.thing;
  }
)
