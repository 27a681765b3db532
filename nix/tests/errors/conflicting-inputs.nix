{ eval, ... }:
eval (
  { lib, ... }:
  {
    members.a = lib.mkMerge [
      {
        type = "local.memo";
        inputs.initialize_with = 1;
      }
      { inputs.initialize_with = 2; }
    ];
  }
)
