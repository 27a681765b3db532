# Options of one's own: the deployment declares what a customer is (`customer.nix`) and derives members from the list of customers. Applications are
# mix-ins: each module in `imports` looks at the same options and adds the members that it is responsible for.
#
#   freehold members        # customers.acme.blog, customers.acme.admin, …
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    ./data-model.nix
    ./applications/blog.nix
    ./applications/accounts.nix
    {
      customers.acme = {
        domain = "acme.example";
        admins = [ "ann" ];
        blog.enable = true;
      };
      customers.umbrella = {
        domain = "umbrella.example";
        admins = [
          "bob"
          "cyn"
        ];
      };
    }
  ];
}
