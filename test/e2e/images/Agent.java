import com.sun.net.httpserver.HttpServer;
import java.lang.instrument.Instrumentation;
import java.lang.management.ManagementFactory;
import java.net.InetSocketAddress;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/**
 * A stand-in for jmx_exporter's agent, which is in no package of Debian: it takes the same argument, PORT:CONFIG, reads the
 * configuration, and serves /metrics. It shows that the jar is where the JVM's flag says, with the configuration and the port.
 */
public class Agent {
    public static void premain(String argument, Instrumentation unused) throws Exception {
        int colon = argument.indexOf(':');
        int port = Integer.parseInt(argument.substring(0, colon));
        Files.readString(Path.of(argument.substring(colon + 1)));

        HttpServer server = HttpServer.create(new InetSocketAddress(port), 0);
        server.createContext("/metrics", exchange -> {
            String text = "# HELP jmx_scrape_error Non-zero if this scrape failed.\n# TYPE jmx_scrape_error gauge\njmx_scrape_error 0.0\n"
                + "# HELP jvm_threads_current Current thread count of a JVM.\n# TYPE jvm_threads_current gauge\njvm_threads_current "
                + ManagementFactory.getThreadMXBean().getThreadCount() + ".0\n";
            byte[] body = text.getBytes(StandardCharsets.UTF_8);
            exchange.getResponseHeaders().set("Content-Type", "text/plain; version=0.0.4; charset=utf-8");
            exchange.sendResponseHeaders(200, body.length);
            exchange.getResponseBody().write(body);
            exchange.close();
        });
        server.start();
    }
}
