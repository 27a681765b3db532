# A blog for every customer that wants one.
{
  config,
  lib,
  members,
  providers,
  ...
}:
let
  wanted = lib.filterAttrs (_: customer: customer.blog.enable) config.customers;
in
{
  options.customers = lib.mkOption {
    type = lib.types.attrsOf (
      lib.types.submodule { options.blog.enable = lib.mkEnableOption "a blog"; }
    );
  };

  config.members.customers.members = lib.mapAttrs (name: customer: {
    members.blog = {
      type = providers.local.file;
      inputs = {
        path = "www/${customer.domain}/index.html";
        # The identity is made by another mix-in; only its name is known here.
        contents = "<h1>${customer.domain}</h1> served by ${members.customers.members.${name}.members.id.outputs.uuid}\n";
        mode = "0644";
      };
    };
  }) wanted;
}
