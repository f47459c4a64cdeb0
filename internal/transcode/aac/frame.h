// The parts of the encoder share these types. They describe the frame that is being encoded.
#ifndef TP_AAC_FRAME_H
#define TP_AAC_FRAME_H

#include "tables.h"

enum {
	CHANNELS = 2,
	NO_NOISE = INT16_MIN,
	MOST_APART = 60, // largest difference between a scale factor, or a level of noise, and the one before
};

typedef enum { ONLY_LONG, LONG_START, EIGHT_SHORT, LONG_STOP } tp_aac_sequence;

// tp_aac_layout is how the lines of a frame are divided into bands. Short windows are grouped, and the windows of a group share scale factors.
// Within a group, the lines of all windows that belong to one band are stored together.
typedef struct {
	tp_aac_sequence sequence;
	int groups;
	uint8_t windows[SHORTS]; // of each group
	int per_group;           // bands
	int bands;               // of all groups
	uint16_t start[BANDS + 1];
} tp_aac_layout;

#define NEVER_NOISE 1e30f

// tp_aac_channel is the spectrum of one channel, and the results of encoding it.
typedef struct {
	float lines[FRAME] __attribute__((aligned(64)));
	float power[FRAME] __attribute__((aligned(64))); // |line|^(3/4)
	int32_t values[FRAME] __attribute__((aligned(64)));

	float energy[BANDS], threshold[BANDS]; // sums over the lines of a band; threshold is the noise that is not heard
	float form[BANDS];                     // sum of |line|^(1/2)
	float peak[BANDS];                     // largest power
	float instead[BANDS];                  // from this error on, the band is replaced by noise; NEVER_NOISE: it is never replaced
	int16_t scale[BANDS];                  // -1: the band has no lines
	int16_t noise[BANDS];                  // level of the noise that replaces the band, in steps of 1.5 dB (4.6.13); NO_NOISE: the band is not replaced
	uint8_t book[BANDS];
} tp_aac_channel;

// greater and smaller are of numbers. Those of math.h, which know what to do with what is none, are calls.
static inline float greater(float a, float b) { return a > b ? a : b; }
static inline float smaller(float a, float b) { return a < b ? a : b; }

#endif
