# filled in by the room's owner
include src/steward/conf.mk
