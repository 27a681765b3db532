{ eval, ... }:
eval {
  members.page = {
    type = "local.file";
    inputs.wibble = "p";
  };
}
