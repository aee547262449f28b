# filled in by the room's owner
