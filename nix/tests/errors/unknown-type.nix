{ eval, ... }: eval { members.page.type = "local.fiel"; }
