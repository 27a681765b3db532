# The smallest deployment that shows the point: a value that exists only once it has been made (random bytes) flows into a
# file, and the file's path into a program. Freehold makes the three in that order because of the values, not because of
# the order in which they are written.
#
#   freehold plan      # three creates; what depends on `id` is known after apply
#   freehold apply
#   cat site/index.html
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      { providers, members, ... }:
      {
        members.id = {
          type = providers.local.random;
          inputs.bytes = 4;
        };

        # A composite: members nest.
        members.site = {
          members.page = {
            type = providers.local.file;
            inputs = {
              path = "site/index.html";
              contents = "hello ${members.id.outputs.hex}\n";
            };
          };
          members.check = {
            type = providers.local.exec;
            inputs = {
              executable = "/bin/cat";
              args = [ members.site.members.page.outputs.path ];
            };
          };
        };
      }
    )
  ];
}
