//go:build cgo

#include "audio.h"

#include <math.h>
#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavutil/channel_layout.h>
#include <libavutil/dict.h>
#include <libavutil/error.h>
#include <libavutil/frame.h>
#include <libavutil/log.h>
#include <libavutil/mem.h>
#include <libavutil/samplefmt.h>
#include <libswresample/swresample.h>

void tp_quiet(void) { av_log_set_level(AV_LOG_QUIET); }

const char *tp_version(void) { return av_version_info(); }
void tp_error(int code, char *text, int size) { av_strerror(code, text, size); }

struct tp_decoder {
	AVCodecContext *ctx;
	AVFrame *frame;
	AVPacket *packet;
	uint8_t *input; // the packet, followed by the zeros that decoders may read
	unsigned input_size;

	SwrContext *swr; // for the form of the last frame
	int rate, channels, format;
};

void tp_decoder_free(tp_decoder *d) {
	if (!d)
		return;
	avcodec_free_context(&d->ctx);
	av_frame_free(&d->frame);
	av_packet_free(&d->packet);
	av_freep(&d->input);
	swr_free(&d->swr);
	av_free(d);
}

static int decoder_open(tp_decoder *d, enum AVCodecID id, int rate, int channels, const uint8_t *config, int size) {
	const AVCodec *codec = NULL;
	if (id == AV_CODEC_ID_SPEEX) // FFmpeg's own decoder (seen in 5.1) turns a steady tone into full-scale noise
		codec = avcodec_find_decoder_by_name("libspeex");
	if (!codec)
		codec = avcodec_find_decoder(id);
	if (!codec)
		return AVERROR_DECODER_NOT_FOUND;
	d->ctx = avcodec_alloc_context3(codec);
	d->frame = av_frame_alloc();
	d->packet = av_packet_alloc();
	if (!d->ctx || !d->frame || !d->packet)
		return AVERROR(ENOMEM);
	d->ctx->thread_count = 1;
	d->ctx->sample_rate = rate;
	av_channel_layout_default(&d->ctx->ch_layout, channels);
	if (size > 0) {
		d->ctx->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!d->ctx->extradata)
			return AVERROR(ENOMEM);
		memcpy(d->ctx->extradata, config, size);
		d->ctx->extradata_size = size;
	}
	return avcodec_open2(d->ctx, codec, NULL);
}

int tp_decoder_new(tp_decoder **out, enum AVCodecID id, int rate, int channels, const uint8_t *config, int size) {
	tp_decoder *d = av_mallocz(sizeof *d);
	if (!d)
		return AVERROR(ENOMEM);
	int r = decoder_open(d, id, rate, channels, config, size);
	if (r < 0) {
		tp_decoder_free(d);
		return r;
	}
	*out = d;
	return 0;
}

// resampler sets up d->swr for the frame. Mono stays mono here: it costs less to copy it to both channels after resampling, and swr would
// lower its level.
static int resampler(tp_decoder *d) {
	const AVFrame *f = d->frame;
	int channels = f->ch_layout.nb_channels;
	if (d->swr && d->rate == f->sample_rate && d->channels == channels && d->format == f->format)
		return 0;
	if (f->sample_rate < 4000 || f->sample_rate > 192000 || channels < 1 || channels > 8)
		return AVERROR_INVALIDDATA;
	AVChannelLayout from = {0}, to = {0};
	av_channel_layout_default(&from, channels);
	av_channel_layout_default(&to, channels == 1 ? 1 : 2);
	int r = swr_alloc_set_opts2(&d->swr, &to, AV_SAMPLE_FMT_FLT, TP_RATE, &from, f->format, f->sample_rate, 0, NULL);
	if (r >= 0)
		r = swr_init(d->swr);
	if (r < 0) {
		swr_free(&d->swr);
		return r;
	}
	d->rate = f->sample_rate;
	d->channels = channels;
	d->format = f->format;
	return 0;
}

// convert writes the frame as stereo at TP_RATE. A frame that does not fit is refused before the resampler
// takes it, so that no samples pile up in the resampler.
static int convert(tp_decoder *d, float *pcm, int room) {
	int r = resampler(d);
	if (r < 0)
		return r;
	int most = swr_get_out_samples(d->swr, d->frame->nb_samples);
	if (most < 0)
		return most;
	if (most > room)
		return AVERROR_INVALIDDATA;
	uint8_t *out = (uint8_t *)pcm;
	int n = swr_convert(d->swr, &out, room, (const uint8_t **)d->frame->extended_data, d->frame->nb_samples);
	if (n > 0 && d->channels == 1) {
		for (int i = n - 1; i >= 0; i--)
			pcm[2 * i] = pcm[2 * i + 1] = pcm[i];
	}
	return n;
}

// take receives frames and appends them to pcm, which has room for room samples and holds *n. A frame that cannot be converted sets *bad.
static int take(tp_decoder *d, float *pcm, int room, int *n, int *bad) {
	int r;
	while ((r = avcodec_receive_frame(d->ctx, d->frame)) >= 0) {
		int k = *bad ? 0 : convert(d, pcm + 2 * *n, room - *n);
		av_frame_unref(d->frame);
		if (k < 0)
			*bad = k;
		else
			*n += k;
	}
	return r;
}

int tp_decoder_decode(tp_decoder *d, const uint8_t *data, int size, float *pcm, int room) {
	av_fast_padded_malloc(&d->input, &d->input_size, size);
	if (!d->input)
		return AVERROR(ENOMEM);
	memcpy(d->input, data, size);
	d->packet->data = d->input;
	d->packet->size = size;
	int n = 0;
	int r = avcodec_send_packet(d->ctx, d->packet);
	int bad = r < 0 ? r : 0;
	// Frames are received even after an error: otherwise the decoder would refuse the next packet.
	r = take(d, pcm, room, &n, &bad);
	// The libspeex decoder gives one frame of a packet with several, and the others only with the next packet, which is too late.
	if (r == AVERROR(EAGAIN) && d->ctx->codec_id == AV_CODEC_ID_SPEEX && avcodec_send_packet(d->ctx, NULL) >= 0) {
		r = take(d, pcm, room, &n, &bad);
		avcodec_flush_buffers(d->ctx); // it takes packets again, and keeps the state of the sound
		if (r == AVERROR_EOF)
			r = AVERROR(EAGAIN);
	}
	if (bad)
		return bad;
	return r == AVERROR(EAGAIN) ? n : r;
}

int tp_decoder_delay(tp_decoder *d) { return d->swr ? (int)swr_get_delay(d->swr, TP_RATE) : 0; }

struct tp_encoder {
	AVCodecContext *ctx;
	AVFrame *frame;
	AVPacket *packet;
	int64_t next; // sample count, as the time base is one sample
};

void tp_encoder_free(tp_encoder *e) {
	if (!e)
		return;
	avcodec_free_context(&e->ctx);
	av_frame_free(&e->frame);
	av_packet_free(&e->packet);
	av_free(e);
}

static int encoder_open(tp_encoder *e, enum AVCodecID id, int rate, int channels, int64_t bit_rate) {
	const AVCodec *codec = avcodec_find_encoder(id);
	if (!codec)
		return AVERROR_ENCODER_NOT_FOUND;
	e->ctx = avcodec_alloc_context3(codec);
	e->frame = av_frame_alloc();
	e->packet = av_packet_alloc();
	if (!e->ctx || !e->frame || !e->packet)
		return AVERROR(ENOMEM);
	e->ctx->sample_rate = rate;
	e->ctx->sample_fmt = id == AV_CODEC_ID_AAC ? AV_SAMPLE_FMT_FLTP : AV_SAMPLE_FMT_S16;
	av_channel_layout_default(&e->ctx->ch_layout, channels);
	if (bit_rate > 0)
		e->ctx->bit_rate = bit_rate;
	e->ctx->time_base = (AVRational){1, rate};
	e->ctx->thread_count = 1;
	e->ctx->flags |= AV_CODEC_FLAG_GLOBAL_HEADER | AV_CODEC_FLAG_BITEXACT;

	AVDictionary *options = NULL;
	if (id == AV_CODEC_ID_AAC) {
		// The fast coder costs half of the default one; without TNS and PNS it costs less still and measures no worse.
		av_dict_set(&options, "aac_coder", "fast", 0);
		av_dict_set(&options, "aac_tns", "0", 0);
		av_dict_set(&options, "aac_pns", "0", 0);
	}
	int r = avcodec_open2(e->ctx, codec, &options);
	av_dict_free(&options);
	if (r < 0)
		return r;

	e->frame->format = e->ctx->sample_fmt;
	e->frame->sample_rate = rate;
	e->frame->nb_samples = e->ctx->frame_size > 0 ? e->ctx->frame_size : rate / 50; // G.711 has no frames of its own: 20 ms
	av_channel_layout_default(&e->frame->ch_layout, channels);
	return av_frame_get_buffer(e->frame, 0);
}

int tp_encoder_new(tp_encoder **out, enum AVCodecID id, int rate, int channels, int64_t bit_rate) {
	tp_encoder *e = av_mallocz(sizeof *e);
	if (!e)
		return AVERROR(ENOMEM);
	int r = encoder_open(e, id, rate, channels, bit_rate);
	if (r < 0) {
		tp_encoder_free(e);
		return r;
	}
	*out = e;
	return 0;
}

// clip limits a sample to -1 to 1. A decoder that was given invalid data can return NaN, with which the encoder would fail.
static inline float clip(float x) {
	if (!(x >= -1))
		return x < -1 ? -1 : 0;
	return x > 1 ? 1 : x;
}

// fill copies interleaved samples to the frame, in the form that the encoder takes.
static void fill(AVFrame *f, const float *pcm) {
	int channels = f->ch_layout.nb_channels;
	if (f->format == AV_SAMPLE_FMT_S16) {
		int16_t *out = (int16_t *)f->data[0];
		for (int i = 0; i < channels * f->nb_samples; i++)
			out[i] = (int16_t)lrintf(clip(pcm[i]) * 32767);
		return;
	}
	for (int c = 0; c < channels; c++) {
		float *out = (float *)f->data[c];
		for (int i = 0; i < f->nb_samples; i++)
			out[i] = clip(pcm[channels * i + c]);
	}
}

int tp_encoder_encode(tp_encoder *e, const float *pcm, uint8_t *data, int room) {
	int r = av_frame_make_writable(e->frame);
	if (r < 0)
		return r;
	fill(e->frame, pcm);
	e->frame->pts = e->next;
	e->next += e->frame->nb_samples;
	if ((r = avcodec_send_frame(e->ctx, e->frame)) < 0)
		return r;
	r = avcodec_receive_packet(e->ctx, e->packet);
	if (r == AVERROR(EAGAIN))
		return 0;
	if (r < 0)
		return r;
	int size = e->packet->size;
	if (size <= room)
		memcpy(data, e->packet->data, size);
	av_packet_unref(e->packet);
	return size <= room ? size : AVERROR_BUFFER_TOO_SMALL;
}

int tp_encoder_known(enum AVCodecID id) { return avcodec_find_encoder(id) != NULL; }

int tp_encoder_frame_size(const tp_encoder *e) { return e->frame->nb_samples; }

int tp_encoder_delay(const tp_encoder *e) { return e->ctx->initial_padding; }

int tp_encoder_config(const tp_encoder *e, const uint8_t **config) {
	*config = e->ctx->extradata;
	return e->ctx->codec_id == AV_CODEC_ID_AAC ? e->ctx->extradata_size : 0;
}
