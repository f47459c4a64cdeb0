//go:build cgo

#include "video.h"

#include <string.h>
#include <libavcodec/avcodec.h>
#include <libavutil/error.h>
#include <libavutil/frame.h>
#include <libavutil/mem.h>

struct tp_video_decoder {
	AVCodecContext *ctx;
	AVFrame *frame;
	AVPacket *packet;
	uint8_t *input; // the packet, followed by the zeros that decoders may read
	unsigned input_size;
};

void tp_video_decoder_free(tp_video_decoder *d) {
	if (!d)
		return;
	avcodec_free_context(&d->ctx);
	av_frame_free(&d->frame);
	av_packet_free(&d->packet);
	av_freep(&d->input);
	av_free(d);
}

static int decoder_open(tp_video_decoder *d, const char *name, const uint8_t *config, int size, int64_t max_pixels) {
	const AVCodec *codec = avcodec_find_decoder_by_name(name);
	if (!codec)
		return AVERROR_DECODER_NOT_FOUND;
	d->ctx = avcodec_alloc_context3(codec);
	d->frame = av_frame_alloc();
	d->packet = av_packet_alloc();
	if (!d->ctx || !d->frame || !d->packet)
		return AVERROR(ENOMEM);
	d->ctx->thread_count = 1;
	d->ctx->flags |= AV_CODEC_FLAG_LOW_DELAY;
	d->ctx->max_pixels = max_pixels;
	if (size > 0) {
		d->ctx->extradata = av_mallocz(size + AV_INPUT_BUFFER_PADDING_SIZE);
		if (!d->ctx->extradata)
			return AVERROR(ENOMEM);
		memcpy(d->ctx->extradata, config, size);
		d->ctx->extradata_size = size;
	}
	return avcodec_open2(d->ctx, codec, NULL);
}

int tp_video_decoder_new(tp_video_decoder **out, const char *name, const uint8_t *config, int size, int64_t max_pixels) {
	tp_video_decoder *d = av_mallocz(sizeof *d);
	if (!d)
		return AVERROR(ENOMEM);
	int r = decoder_open(d, name, config, size, max_pixels);
	if (r < 0) {
		tp_video_decoder_free(d);
		return r;
	}
	*out = d;
	return 0;
}

int tp_video_decoder_send(tp_video_decoder *d, const uint8_t *data, int size, int64_t time) {
	if (size == 0)
		return avcodec_send_packet(d->ctx, NULL);
	av_fast_padded_malloc(&d->input, &d->input_size, size);
	if (!d->input)
		return AVERROR(ENOMEM);
	memcpy(d->input, data, size);
	d->packet->data = d->input;
	d->packet->size = size;
	d->packet->pts = time;
	return avcodec_send_packet(d->ctx, d->packet);
}

// matrix returns the coefficients of the colours. Rare ones are converted when the picture is drawn; for these it returns the coefficients
// after that. VP8 has only BT.601 (RFC 6386, 9.2).
static int matrix(const AVCodecContext *c, const AVFrame *f) {
	switch (f->colorspace) {
	case AVCOL_SPC_BT470BG:
	case AVCOL_SPC_SMPTE170M:
		return AVCOL_SPC_SMPTE170M;
	case AVCOL_SPC_UNSPECIFIED:
	case AVCOL_SPC_RESERVED:
		return c->codec_id == AV_CODEC_ID_VP8 ? AVCOL_SPC_SMPTE170M : AVCOL_SPC_UNSPECIFIED;
	default:
		return AVCOL_SPC_BT709;
	}
}

int tp_video_decoder_receive(tp_video_decoder *d, tp_picture *out) {
	int r = avcodec_receive_frame(d->ctx, d->frame);
	if (r == AVERROR(EAGAIN) || r == AVERROR_EOF)
		return 0;
	if (r < 0)
		return r;
	AVFrame *f = d->frame;
	AVFrame *taken = av_frame_alloc();
	if (!taken) {
		av_frame_unref(f);
		return AVERROR(ENOMEM);
	}
	out->frame = taken;
	out->time = f->pts != AV_NOPTS_VALUE ? f->pts : d->packet->pts;
	out->width = f->width;
	out->height = f->height;
	out->matrix = matrix(d->ctx, f);
	out->damaged = f->decode_error_flags != 0 || (f->flags & AV_FRAME_FLAG_CORRUPT) != 0;
	av_frame_move_ref(taken, f);
	return 1;
}

double tp_video_decoder_rate(const tp_video_decoder *d) {
	AVRational r = d->ctx->framerate;
	return r.num > 0 && r.den > 0 ? av_q2d(r) : 0;
}

void tp_picture_free(tp_picture *p) {
	AVFrame *f = p->frame;
	av_frame_free(&f);
	p->frame = NULL;
}
