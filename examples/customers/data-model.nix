# What the deployment is about, in its own words, and the composite that gathers the members of each customer.
{ config, lib, ... }:
{
  options.customers = lib.mkOption {
    type = lib.types.attrsOf (lib.types.submodule ./customer.nix);
    default = { };
    description = "Who we run things for.";
  };

  # Every customer is a composite; the applications put members into it.
  config.members.customers.members = lib.mapAttrs (_: _: { }) config.customers;
}
