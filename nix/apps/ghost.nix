# Ghost: a blog, with MySQL.
{ mkCcApp, ... }:
mkCcApp {
  recipe = "ghost";
  # 200 and JSON without a login once Ghost has booted: read in TryGhost/Ghost, the routes of its admin API, where `/site` is
  # public. Without the last `/` it is a redirect (unverified).
  healthPath = "/ghost/api/admin/site/";
  healthOk = [ 200 ];
  # Unverified.
  healthTimeout = 120;
  # cc-ci: the first boot migrates for 6 to 9 minutes and more, and must not be killed: `migrations_lock` stays.
  timeout = 1200;
  stateful = true;
}
