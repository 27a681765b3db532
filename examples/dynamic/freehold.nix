# Structure that depends on outputs: which members there are, what kind and type a member has, and which inputs it gets can be decided by what a
# resource gave back. Freehold shows what it cannot know yet, applies what it can, and asks again.
#
# The one rule: a set of members may not depend on its own members. So what depends on `inventory` is one level down.
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      {
        lib,
        members,
        providers,
        ...
      }:
      let
        # A program reports which sites there are: one name per line.
        sites = lib.filter (s: s != "") (lib.splitString "\n" members.inventory.outputs.stdout);
      in
      {
        members.inventory = {
          type = providers.local.exec;
          inputs = {
            executable = "/bin/cat";
            stdin = ''
              blog
              wiki
            '';
          };
        };

        # The set of members: one page per reported site.
        members.sites.members = lib.genAttrs sites (name: {
          type = providers.local.file;
          inputs = {
            path = "sites/${name}.html";
            contents = "<h1>${name}</h1>\n";
          };
        });

        # A kind: a composite with two files when there is more than one site, else one resource.
        members.index =
          let
            page = path: {
              type = providers.local.file;
              inputs = {
                inherit path;
                contents = lib.concatStringsSep "\n" sites + "\n";
              };
            };
          in
          if lib.length sites > 1 then
            {
              members.html = page "sites/index.html";
              members.text = page "sites/index.txt";
            }
          else
            page "sites/index.html";

        # A type and the names of inputs.
        members.count = {
          type = if lib.length sites > 10 then providers.local.exec else providers.local.memo;
          inputs =
            if lib.length sites > 10 then { executable = "/bin/true"; } else { initialize_with = lib.length sites; };
        };
      }
    )
  ];
}
