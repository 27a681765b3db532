{ eval, ... }: eval ({ providers, ... }: { members.page.type = providers.ssh; })
