# A deployment without members yet. `freehold provider list` shows what there is to declare.
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      { providers, members, ... }:
      {
        # members.greeting = {
        #   type = providers.local.file;
        #   inputs = { path = "greeting.txt"; contents = "hello\n"; };
        # };
      }
    )
  ];
}
