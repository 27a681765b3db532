# The examples of the repository are deployments that evaluate, and mean what their headers say.
{ freehold, harness, ... }:
let
  inherit (harness) evalRoot probe;
  example =
    file: outputs:
    let
      v = import file;
    in
    evalRoot {
      root = if builtins.isFunction v then v { inherit freehold; } else v;
      inherit outputs;
    };
  # "path:type" of every resource.
  listing =
    prefix: export:
    if export ? resource then
      [ "${prefix}:${export.resource.type}" ]
    else
      builtins.concatMap (n: listing "${if prefix == "" then "" else "${prefix}."}${n}" export.members.${n}) (
        builtins.attrNames export.members
      );
  dir = ../../examples;
in
{
  "hello: members nest, values flow" = {
    expr =
      let
        e = example (dir + "/hello/freehold.nix") {
          id.hex = "ff";
          "site.page".path = "p";
        };
      in
      [
        (listing "" e)
        e.members.site.members.page.resource.inputs.contents
        e.members.site.members.check.resource.inputs.args
      ];
    expected = [
      [
        "id:random"
        "site.check:exec"
        "site.page:file"
      ]
      "hello ff\n"
      [ "p" ]
    ];
  };
  "customers: members from options of one's own, applications as mix-ins" = {
    expr = listing "" (example (dir + "/customers/freehold.nix") { });
    expected = [
      "customers.acme.admins.ann:password"
      "customers.acme.blog:file"
      "customers.acme.id:uuid"
      "customers.umbrella.admins.bob:password"
      "customers.umbrella.admins.cyn:password"
      "customers.umbrella.id:uuid"
    ];
  };
  "sequence: state in an object, a key and what uses it inside" = {
    expr =
      let
        e = example (dir + "/sequence/freehold.nix") { "my-host.keypair".publicKey = "pub"; };
        host = e.members.my-host.members;
      in
      [
        (listing "" e)
        host.keypair.resource.state
        host.nixos.resource.inputs.contents
        (probe host.login.resource.inputs.contents)
        host.login.resource.dependsOn
      ];
    expected = [
      [
        "my-host.keypair:ssh.keypair"
        "my-host.login:file"
        "my-host.nixos:file"
        "state:object"
      ]
      [ "state" ]
      "pub\n"
      "«unknown»"
      [
        [
          "my-host"
          "nixos"
        ]
      ]
    ];
  };
  "dynamic: members from an output" = {
    expr =
      let
        e = example (dir + "/dynamic/freehold.nix");
      in
      [
        (listing "" (e { inventory.stdout = "blog\nwiki\n"; }))
        (listing "" (e { inventory.stdout = "blog\n"; }))
      ];
    expected = [
      [
        "count:memo"
        "index.html:file"
        "index.text:file"
        "inventory:exec"
        "sites.blog:file"
        "sites.wiki:file"
      ]
      [
        "count:memo"
        "index:file"
        "inventory:exec"
        "sites.blog:file"
      ]
    ];
  };
  "nixops4: a root by hand" = {
    expr = listing "" (example (dir + "/nixops4/nixops4.nix") { });
    expected = [
      "greeting:memo"
      "site.page:file"
      "state:state_file"
    ];
  };
  "legacy: the older form" = {
    expr = listing "" (example (dir + "/legacy/freehold.nix") { });
    expected = [
      "authorized:file"
      "page:file"
      "sshkeypair:ssh.keypair"
      "state:state_file"
    ];
  };
  "operations: a script with access to outputs" = {
    expr =
      (example (dir + "/operations/freehold.nix") {
        id.publicKey = "pub";
        page.absolutePath = "/p";
      }).members.page.resource.operations.verify.args;
    expected = [
      "-c"
      "printf '%s\\n' \"$KEY\" | cmp - \"$1\" && cat \"$1\""
      "verify"
      "/p"
    ];
  };
}
