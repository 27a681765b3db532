# One customer. The applications add options of theirs to the same submodule by declaring `options.customers` again.
{ lib, name, ... }:
{
  options = {
    domain = lib.mkOption {
      type = lib.types.str;
      default = "${name}.example";
      description = "Where the customer is found.";
    };
    admins = lib.mkOption {
      type = lib.types.listOf lib.types.str;
      default = [ ];
      description = "Who may administer.";
    };
  };
}
