{ ... }: (import ../../minilib).fileset
