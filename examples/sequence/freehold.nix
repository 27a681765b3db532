# Data dependencies across nesting: a bucket object holds the state of a key pair; the key pair and a host that uses it
# belong together in one sequence, inside of which `members` are its own. The record of the key pair is not kept beside
# this file but in the object (`state = top.members.state`).
#
# The host is a stand-in (a file that says what would be set up) as long as there is no `host.nixos`.
{ freehold, ... }:
freehold.lib.mkRoot {
  modules = [
    (
      top@{ members, providers, ... }:
      {
        members.state = {
          type = providers.s3.object;
          inputs = {
            endpoint = "https://garage.example.com";
            bucket = "my-project";
            key = "freehold/state";
          };
        };

        members.my-host = freehold.lib.mkSequence (
          { members, ... }:
          {
            keypair = {
              type = providers.ssh.keypair;
              state = top.members.state;
              lifecycle.protect = true;
            };
            nixos = {
              type = providers.local.file;
              inputs = {
                path = "my-host.authorized_keys";
                contents = "${members.keypair.outputs.publicKey}\n";
              };
            };
            login = {
              type = providers.local.file;
              inputs = {
                path = "my-host.key";
                mode = "0600";
                # Sensitive: a token here, put in by the engine when the file is written.
                contents = members.keypair.outputs.privateKey;
              };
              dependsOn = [ members.nixos ];
            };
          }
        );
      }
    )
  ];
}
