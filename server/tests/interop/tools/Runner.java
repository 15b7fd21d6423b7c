import java.io.ByteArrayInputStream;
import java.io.ByteArrayOutputStream;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.io.PrintStream;
import java.lang.reflect.InvocationHandler;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collections;
import java.util.List;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Runs the main methods of Kafka's tools one after the other, in one process: most of a tool's time is the start of its JVM.
 *
 * <pre>
 * stdin   SECONDS CLASS STDIN [ARGUMENT ...]     one call a line, each word in base64 with a dot before it
 * stdout  CODE OUTPUT ERRORS                     its end a line; CODE is what the process would have ended with, or "late"
 * </pre>
 */
public final class Runner {
    private static final int HOOK_SECONDS = 10;

    /** A call, and what it has led to. What its main thread says after it has ended the process is dropped: it would be gone. */
    private static final class Call {
        final ByteArrayOutputStream out = new ByteArrayOutputStream();
        final ByteArrayOutputStream err = new ByteArrayOutputStream();
        final List<Runnable> hooks = Collections.synchronizedList(new ArrayList<>());
        final CountDownLatch ended = new CountDownLatch(1);
        volatile Integer code;
        volatile Thread main;

        synchronized void end(int with) {
            if (code == null) {
                code = with;
                ended.countDown();
            }
        }
    }

    /** Ends the thread that has asked for the process to end. */
    private static final class Ended extends Error {
        Ended() {
            super("the call has ended", null, false, false);
        }
    }

    /** The call that is under way, and the one that a thread belongs to: a thread may outlive its call. */
    private static volatile Call current = new Call();
    private static final InheritableThreadLocal<Call> own = new InheritableThreadLocal<>();

    private static Call call() {
        Call call = own.get();
        return call == null ? current : call;
    }

    private static PrintStream captured(java.util.function.Function<Call, OutputStream> which) {
        return new PrintStream(new OutputStream() {
            @Override
            public void write(int b) {
                write(new byte[] {(byte) b}, 0, 1);
            }

            @Override
            public void write(byte[] bytes, int from, int length) {
                Call call = call();
                synchronized (call) {
                    if (call.code != null && Thread.currentThread() == call.main) {
                        return;
                    }
                    try {
                        which.apply(call).write(bytes, from, length);
                    } catch (java.io.IOException impossible) {
                        throw new IllegalStateException(impossible);
                    }
                }
            }
        }, true, StandardCharsets.UTF_8);
    }

    /** Has Kafka's class for the ends of its processes call us; it has another package from 4.4 on. */
    private static void instead(String setter, String kind, InvocationHandler handler) throws ReflectiveOperationException {
        Class<?> exit;
        try {
            exit = Class.forName("org.apache.kafka.common.utils.Exit");
        } catch (ClassNotFoundException moved) {
            exit = Class.forName("org.apache.kafka.common.utils.internals.Exit");
        }
        Class<?> type = Class.forName(exit.getName() + "$" + kind);
        Object made = Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, handler);
        exit.getMethod(setter, type).invoke(null, made);
    }

    private static Object exit(int code, String message) {
        Call call = call();
        if (message != null && call.code == null) {
            System.err.println(message);
        }
        call.end(code);
        throw new Ended();
    }

    public static void main(String[] none) throws Exception {
        BufferedReader asked = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        PrintStream answers = System.out;
        // Once and for all: Scala's console and the loggers keep the streams that they see first.
        System.setOut(captured(call -> call.out));
        System.setErr(captured(call -> call.err));
        InvocationHandler exit = (proxy, method, of) -> exit((int) of[0], (String) of[1]);
        instead("setExitProcedure", "Procedure", exit);
        instead("setHaltProcedure", "Procedure", exit);
        instead("setShutdownHookAdder", "ShutdownHookAdder", (proxy, method, of) -> {
            call().hooks.add((Runnable) of[1]);
            return null;
        });
        for (String line = asked.readLine(); line != null; line = asked.readLine()) {
            String[] words = line.split(" ");
            for (int i = 0; i < words.length; i++) {
                words[i] = new String(Base64.getDecoder().decode(words[i].substring(1)), StandardCharsets.UTF_8);
            }
            answers.println(run(words));
            answers.flush();
        }
        System.exit(0);
    }

    private static String run(String[] words) throws Exception {
        Call call = new Call();
        current = call;
        System.setIn(new ByteArrayInputStream(words[2].getBytes(StandardCharsets.UTF_8)));
        String[] arguments = java.util.Arrays.copyOfRange(words, 3, words.length);
        own.set(call);
        Thread main = new Thread(() -> {
            try {
                Class.forName(words[1]).getMethod("main", String[].class).invoke(null, (Object) arguments);
                call.end(0);
            } catch (InvocationTargetException e) {
                if (!(e.getCause() instanceof Ended)) {
                    e.getCause().printStackTrace();
                }
                call.end(1);
            } catch (ReflectiveOperationException e) {
                e.printStackTrace();
                call.end(127);
            }
        }, "main");
        main.setDaemon(true);
        call.main = main;
        main.start();
        boolean inTime = call.ended.await(Long.parseLong(words[0]), TimeUnit.SECONDS);
        // As at the end of a process; they may wait for the main thread.
        List<Thread> hooks = new ArrayList<>();
        for (Runnable hook : call.hooks) {
            Thread thread = new Thread(() -> {
                try {
                    hook.run();
                } catch (Throwable ended) {
                    // A hook that asks for the end has it.
                }
            });
            thread.setDaemon(true);
            thread.start();
            hooks.add(thread);
        }
        for (Thread hook : hooks) {
            hook.join(TimeUnit.SECONDS.toMillis(HOOK_SECONDS));
        }
        if (!inTime) {
            main.interrupt();
        }
        synchronized (call) {
            Base64.Encoder encoder = Base64.getEncoder();
            String code = inTime ? String.valueOf(call.code) : "late";
            return code + " ." + encoder.encodeToString(call.out.toByteArray()) + " ." + encoder.encodeToString(call.err.toByteArray());
        }
    }
}
