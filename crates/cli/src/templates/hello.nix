# A deployment: a tree of members. A member is a resource (it has a `type`) or has members of its own.
#
#   freehold plan     shows what would be done
#   freehold apply    does it
#
# Values flow through `outputs`: what needs one waits for it, and everything else goes ahead.
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      { providers, members, ... }:
      {
        # Four random bytes, made once and remembered.
        members.id = {
          type = providers.local.random;
          inputs.bytes = 4;
        };

        members.site = {
          # A file with them in it. Paths are relative to this directory.
          members.page = {
            type = providers.local.file;
            inputs = {
              path = "site/index.html";
              contents = "hello ${members.id.outputs.hex}\n";
            };
          };

          # A program that is run when its inputs change.
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
