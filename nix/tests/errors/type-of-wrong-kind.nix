{ eval, ... }: eval { members.page.type = 1; }
