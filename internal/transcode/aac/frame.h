// What the parts of the encoder tell each other about the frame that is being made.
#ifndef TP_AAC_FRAME_H
#define TP_AAC_FRAME_H

#include "tables.h"

enum {
	CHANNELS = 2,
	NO_NOISE = INT16_MIN,
	MOST_APART = 60, // scale factors that follow each other, and levels of noise
};

typedef enum { ONLY_LONG, LONG_START, EIGHT_SHORT, LONG_STOP } tp_aac_sequence;

// tp_aac_layout is how the lines of a frame are divided into bands. Short windows are in groups that share their scale factors; the
// lines of a group's windows lie together by bands.
typedef struct {
	tp_aac_sequence sequence;
	int groups;
	uint8_t windows[SHORTS]; // of each group
	int per_group;           // bands
	int bands;               // of all groups
	uint16_t start[BANDS + 1];
} tp_aac_layout;

#define NEVER_NOISE 1e30f

// tp_aac_channel is one channel's spectrum and what becomes of it.
typedef struct {
	float lines[FRAME] __attribute__((aligned(64)));
	float power[FRAME] __attribute__((aligned(64))); // |line|^(3/4)
	int32_t values[FRAME] __attribute__((aligned(64)));

	float energy[BANDS], threshold[BANDS]; // sums over the lines of a band; the threshold is that of noise
	float form[BANDS];                     // sum of |line|^(1/2)
	float peak[BANDS];                     // largest power
	float instead[BANDS];                  // the least error in a band with which noise of its level stands for it; NEVER_NOISE: none does
	int16_t scale[BANDS];                  // -1: the band has no lines
	int16_t noise[BANDS];                  // its level, in steps of 1.5 dB, where it stands for a band (4.6.13); NO_NOISE: elsewhere
	uint8_t book[BANDS];
} tp_aac_channel;

// greater and smaller are of numbers. Those of math.h, which know what to do with what is none, are calls.
static inline float greater(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }

#endif
