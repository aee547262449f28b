/* Places where a relay can be told to kill itself, to prove that none of them loses, doubles or disguises a byte.
 * They are nothing in normal builds. */
#ifndef RELAY_KILL_POINT_H
#define RELAY_KILL_POINT_H

#ifdef KILL_POINTS
void kill_point_arm(unsigned one_in); /* 0: never */
void kill_point(void);
#else
static inline void kill_point_arm(unsigned one_in)
{
	(void)one_in;
}
static inline void kill_point(void)
{
}
#endif

#endif
