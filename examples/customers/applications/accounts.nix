# An identity for each customer and a password for each of its administrators.
{
  config,
  lib,
  providers,
  ...
}:
{
  config.members.customers.members = lib.mapAttrs (_: customer: {
    members = {
      id.type = providers.local.uuid;
      admins.members = lib.genAttrs customer.admins (_: {
        type = providers.local.password;
        inputs.length = 24;
      });
    };
  }) config.customers;
}
