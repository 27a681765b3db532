# Operations: things that one does with a resource besides having it.
#
#   freehold run page verify     # a script of this file, with access to outputs
#   freehold run id rotate       # implemented by the provider: makes a new key; the next apply brings `page` along
#
# Also here: conditions before and after, and a few words about the life of a resource.
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      { members, providers, ... }:
      {
        members.id = {
          type = providers.local.key;
          inputs = {
            kind = "ssh";
            comment = "deploy@example";
          };
          lifecycle.protect = true;
        };

        members.page = {
          type = providers.local.file;
          inputs = {
            path = "id.pub";
            contents = "${members.id.outputs.publicKey}\n";
          };
          # A new key replaces the file instead of changing it.
          lifecycle.replaceWhen = [ members.id.outputs.publicKey ];
          preconditions = [
            {
              assertion = members.id.outputs.publicKey != "";
              message = "the key has no public half";
            }
          ];
          operations.verify = {
            description = "Shows the file that was written and compares it with the key.";
            executable = "/bin/sh";
            args = [
              "-c"
              ''printf '%s\n' "$KEY" | cmp - "$1" && cat "$1"''
              "verify"
              members.page.outputs.absolutePath
            ];
            env.KEY = members.id.outputs.publicKey;
          };
        };
      }
    )
  ];
}
