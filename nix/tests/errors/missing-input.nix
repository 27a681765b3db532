{ eval, ... }: eval { members.site.members.page.type = "local.file"; }
