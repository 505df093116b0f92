// SPDX-License-Identifier: GPL-2.0
/*
 * hilspi: an SPI controller whose devices are modelled in user space.
 *
 * Every transfer is offered to the one process that has /dev/hilspi open, which answers it with the bytes that the
 * device puts on MISO. What talks to the controller is the kernel's own SPI core and spidev, so that ioctls, modes,
 * limits, locking and unbinding are real.
 *
 *   read:   struct hilspi_request, then `length` bytes as sent      (waits for a transfer; -EAGAIN when non-blocking)
 *   write:  struct hilspi_answer, then up to `length` bytes as read (missing ones are 0xff; -ESTALE when it came late)
 *
 * While nobody has it open, MISO is pulled up: all 0xff. A transfer that is not answered within `timeout_ms` ends with
 * -ETIMEDOUT, as one of a controller whose interrupt never comes.
 */
#include <linux/completion.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/platform_device.h>
#include <linux/poll.h>
#include <linux/spi/spi.h>
#include <linux/uaccess.h>
#include <linux/version.h>

#define HILSPI_MAX_BYTES 65536
#define HILSPI_FIRST 1 /* the chip select was not active before this transfer */
#define HILSPI_LAST 2 /* and is released after it */

#if LINUX_VERSION_CODE < KERNEL_VERSION(6, 3, 0)
#define spi_get_chipselect(spi, index) ((spi)->chip_select)
#endif

static int bus_num;
module_param(bus_num, int, 0444);
MODULE_PARM_DESC(bus_num, "number of the bus: its devices are /dev/spidevBUS.CS");

static int chip_selects = 2;
module_param(chip_selects, int, 0444);
MODULE_PARM_DESC(chip_selects, "devices on the bus");

static int timeout_ms = 2000;
module_param(timeout_ms, int, 0644);
MODULE_PARM_DESC(timeout_ms, "how long a transfer waits for its answer");

struct hilspi_request {
	u32 sequence;
	u32 chip_select;
	u32 mode;
	u32 speed_hz;
	u32 bits;
	u32 length;
	u32 flags;
};

struct hilspi_answer {
	u32 sequence;
	s32 status; /* 0 or a negative errno */
};

enum hilspi_state { IDLE, OFFERED, TAKEN };

/* The SPI core hands out one message at a time, so there is one transfer at most. `lock` guards all of it. */
static struct {
	struct mutex lock;
	wait_queue_head_t offered;
	struct completion answered;
	enum hilspi_state state;
	bool has_model;
	struct hilspi_request request;
	int status;
	u8 *tx;
	u8 *rx;
} wire;

static struct platform_device *platform;
static struct spi_controller *controller;

/* The model's side. */

static ssize_t hilspi_read(struct file *file, char __user *buffer, size_t size, loff_t *offset)
{
	size_t whole;
	ssize_t result;

	do {
		if (wire.state != OFFERED) {
			if (file->f_flags & O_NONBLOCK)
				return -EAGAIN;
			if (wait_event_interruptible(wire.offered, wire.state == OFFERED))
				return -ERESTARTSYS;
		}
		mutex_lock(&wire.lock);
		if (wire.state == OFFERED)
			break;
		mutex_unlock(&wire.lock); /* it timed out in between */
	} while (true);
	whole = sizeof(wire.request) + wire.request.length;
	if (size < whole) {
		result = -EMSGSIZE;
	} else if (copy_to_user(buffer, &wire.request, sizeof(wire.request)) ||
		   copy_to_user(buffer + sizeof(wire.request), wire.tx, wire.request.length)) {
		result = -EFAULT;
	} else {
		wire.state = TAKEN;
		result = whole;
	}
	mutex_unlock(&wire.lock);
	return result;
}

static ssize_t hilspi_write(struct file *file, const char __user *buffer, size_t size, loff_t *offset)
{
	struct hilspi_answer answer;
	size_t length;
	ssize_t result = size;

	if (size < sizeof(answer))
		return -EINVAL;
	if (copy_from_user(&answer, buffer, sizeof(answer)))
		return -EFAULT;
	if (answer.status > 0 || answer.status < -MAX_ERRNO)
		return -EINVAL;
	mutex_lock(&wire.lock);
	if (wire.state != TAKEN || answer.sequence != wire.request.sequence) {
		result = -ESTALE;
	} else {
		length = min_t(size_t, size - sizeof(answer), wire.request.length);
		if (copy_from_user(wire.rx, buffer + sizeof(answer), length)) {
			result = -EFAULT;
		} else {
			wire.status = answer.status;
			wire.state = IDLE;
			complete(&wire.answered);
		}
	}
	mutex_unlock(&wire.lock);
	return result;
}

static __poll_t hilspi_poll(struct file *file, poll_table *table)
{
	poll_wait(file, &wire.offered, table);
	return (wire.state == OFFERED ? EPOLLIN | EPOLLRDNORM : 0) | EPOLLOUT | EPOLLWRNORM;
}

static int hilspi_open(struct inode *inode, struct file *file)
{
	int result = 0;

	mutex_lock(&wire.lock);
	if (wire.has_model)
		result = -EBUSY;
	wire.has_model = true;
	mutex_unlock(&wire.lock);
	return result;
}

static int hilspi_release(struct inode *inode, struct file *file)
{
	mutex_lock(&wire.lock);
	wire.has_model = false;
	if (wire.state != IDLE) { /* its device fell off the bus in the middle of a transfer */
		wire.status = 0;
		wire.state = IDLE;
		complete(&wire.answered);
	}
	mutex_unlock(&wire.lock);
	return 0;
}

static const struct file_operations hilspi_operations = {
	.owner = THIS_MODULE,
	.open = hilspi_open,
	.release = hilspi_release,
	.read = hilspi_read,
	.write = hilspi_write,
	.poll = hilspi_poll,
};

static struct miscdevice hilspi_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "hilspi",
	.fops = &hilspi_operations,
};

/* The controller's side. */

static void hilspi_offer(struct spi_device *spi, struct spi_transfer *transfer, u32 flags)
{
	wire.request = (struct hilspi_request){
		.sequence = wire.request.sequence + 1,
		.chip_select = spi_get_chipselect(spi, 0),
		.mode = spi->mode,
		.speed_hz = transfer->speed_hz,
		.bits = transfer->bits_per_word,
		.length = transfer->len,
		.flags = flags,
	};
	if (transfer->tx_buf)
		memcpy(wire.tx, transfer->tx_buf, transfer->len);
	else
		memset(wire.tx, 0, transfer->len);
	wire.status = 0;
	wire.state = OFFERED;
	reinit_completion(&wire.answered);
}

static int hilspi_transfer(struct spi_device *spi, struct spi_transfer *transfer, u32 flags)
{
	int status = 0;
	bool has_model;

	if (transfer->len > HILSPI_MAX_BYTES)
		return -EMSGSIZE;
	mutex_lock(&wire.lock);
	memset(wire.rx, 0xff, transfer->len);
	has_model = wire.has_model;
	if (has_model)
		hilspi_offer(spi, transfer, flags);
	mutex_unlock(&wire.lock);
	if (has_model) {
		wake_up_interruptible(&wire.offered);
		wait_for_completion_timeout(&wire.answered, msecs_to_jiffies(timeout_ms));
	}
	mutex_lock(&wire.lock);
	if (has_model)
		status = wire.state == IDLE ? wire.status : -ETIMEDOUT;
	wire.state = IDLE;
	if (!status && transfer->rx_buf)
		memcpy(transfer->rx_buf, wire.rx, transfer->len);
	mutex_unlock(&wire.lock);
	return status;
}

static int hilspi_transfer_one_message(struct spi_controller *host, struct spi_message *message)
{
	struct spi_transfer *transfer;
	u32 flags = HILSPI_FIRST;
	bool releases;

	message->status = 0;
	list_for_each_entry(transfer, &message->transfers, transfer_list) {
		releases = transfer->cs_change || list_is_last(&transfer->transfer_list, &message->transfers);
		message->status = hilspi_transfer(message->spi, transfer, flags | (releases ? HILSPI_LAST : 0));
		if (message->status)
			break;
		message->actual_length += transfer->len;
		flags = releases ? HILSPI_FIRST : 0;
	}
	spi_finalize_current_message(host);
	return 0;
}

static int hilspi_setup(struct spi_device *spi)
{
	return 0;
}

static int hilspi_register(void)
{
	struct spi_board_info device = {
		.modalias = "dh2228fv", /* a name that spidev binds to by itself */
		.max_speed_hz = 10000000,
	};
	int result;

	controller = spi_alloc_master(&platform->dev, 0);
	if (!controller)
		return -ENOMEM;
	controller->bus_num = bus_num;
	controller->num_chipselect = chip_selects;
	controller->mode_bits = SPI_CPOL | SPI_CPHA | SPI_CS_HIGH | SPI_LSB_FIRST | SPI_3WIRE | SPI_NO_CS | SPI_LOOP;
	controller->bits_per_word_mask = SPI_BPW_MASK(8) | SPI_BPW_MASK(16);
	controller->min_speed_hz = 1000;
	controller->max_speed_hz = 50000000;
	controller->setup = hilspi_setup;
	controller->transfer_one_message = hilspi_transfer_one_message;
	result = spi_register_controller(controller);
	if (result) {
		spi_controller_put(controller);
		return result;
	}
	for (device.chip_select = 0; device.chip_select < chip_selects; device.chip_select++)
		if (!spi_new_device(controller, &device))
			pr_warn("hilspi: chip select %u has no device\n", device.chip_select);
	return 0;
}

static void hilspi_free(void)
{
	kvfree(wire.tx);
	kvfree(wire.rx);
}

static int __init hilspi_init(void)
{
	int result;

	mutex_init(&wire.lock);
	init_waitqueue_head(&wire.offered);
	init_completion(&wire.answered);
	wire.tx = kvmalloc(HILSPI_MAX_BYTES, GFP_KERNEL);
	wire.rx = kvmalloc(HILSPI_MAX_BYTES, GFP_KERNEL);
	if (!wire.tx || !wire.rx) {
		result = -ENOMEM;
		goto free;
	}
	platform = platform_device_register_simple("hilspi", PLATFORM_DEVID_NONE, NULL, 0);
	if (IS_ERR(platform)) {
		result = PTR_ERR(platform);
		goto free;
	}
	result = misc_register(&hilspi_misc);
	if (result)
		goto unregister_platform;
	result = hilspi_register();
	if (result)
		goto deregister_misc;
	return 0;

deregister_misc:
	misc_deregister(&hilspi_misc);
unregister_platform:
	platform_device_unregister(platform);
free:
	hilspi_free();
	return result;
}

static void __exit hilspi_exit(void)
{
	spi_unregister_controller(controller);
	misc_deregister(&hilspi_misc);
	platform_device_unregister(platform);
	hilspi_free();
}

module_init(hilspi_init);
module_exit(hilspi_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("SPI controller whose devices are modelled in user space");
